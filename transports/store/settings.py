"""What stores are told by whoever opens them, beside their location."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from transports.errors import ConnectionLost
from transports.ssh.protocol import Options


def _nobody(_error: ConnectionLost, _wait_s: float) -> None:
    """Who is told nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Speeds are bytes a second for all transfers together; None is without a limit.

    `environ` is what the operator's environment says: where stores look for credentials. It may
    hold secrets, so it is not shown. `ssh` is for sftp:. `on_retry` is told, in any thread, what
    failed and for how many seconds is waited before it is tried again. `stop` is set when the run
    is to end: then little is waited for any more.
    """

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    upload_limit: int | None = None
    download_limit: int | None = None
    ssh: Options = field(default_factory=Options, repr=False)
    stop: threading.Event = field(default_factory=threading.Event, repr=False)
    on_retry: Callable[[ConnectionLost, float], None] = field(default=_nobody, repr=False)

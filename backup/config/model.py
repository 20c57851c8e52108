"""What a configuration says, key by key. The docstrings are what editors show (`config schema`).

Keys are written with hyphens in the file. Text that has a grammar of its own (a size, a span, a
schedule) is kept here as it was written, and was proven to be right when the file was read.
"""

from enum import Enum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

LOCAL: Final = "local"
"""The host that is there without being configured: the engine that docker's client would use."""


class Quiesce(Enum):
    """What is done to the users of a volume while it is read."""

    NONE = "none"
    PAUSE = "pause"
    STOP = "stop"


class When(Enum):
    """Whether a hook runs before the reading or after it."""

    BEFORE = "before"
    AFTER = "after"


class OnError(Enum):
    """What a hook that fails does to its run: end it, be told, or leave out its sources."""

    FAIL = "fail"
    WARN = "warn"
    SKIP = "skip"


class Occasion(Enum):
    """What somebody is told of."""

    FAILURE = "failure"
    RECOVERY = "recovery"
    OVERDUE = "overdue"


class _Table(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A table of the file."""


class Host(_Table, frozen=True, kw_only=True):
    """An engine."""

    url: Annotated[str | None, Meta(description="unix:///path, tcp://host:port, ssh://user@host")]
    helper_image: str | None = None


class Repository(_Table, frozen=True, kw_only=True):
    """A repository, and where its password comes from: one of the three, or none.

    `password_credential` is the name of a credential of systemd. `check` and `prune` say when, as a
    job's `schedule` does.
    """

    location: str
    password_file: str | None = None
    password_command: list[str] | None = None
    password_credential: str | None = None
    limit_upload: str | None = None
    limit_download: str | None = None
    check: str | None = None
    prune: str | None = None


class Keep(_Table, frozen=True, kw_only=True):
    """How many snapshots of each source are kept; `within` are spans (30d, 1y6m)."""

    last: int | None = None
    hourly: int | None = None
    daily: int | None = None
    weekly: int | None = None
    monthly: int | None = None
    yearly: int | None = None
    within: str | None = None
    within_hourly: str | None = None
    within_daily: str | None = None
    within_weekly: str | None = None
    within_monthly: str | None = None
    within_yearly: str | None = None
    tags: list[str] = []


class Hook(_Table, frozen=True, kw_only=True):
    """A command that runs before or after a job reads: in a container, or on this machine."""

    when: When
    command: Annotated[list[str], Meta(min_length=1)]
    container: str | None = None
    user: str | None = None
    directory: str | None = None
    timeout: str = "5min"
    on_error: OnError = OnError.FAIL


class Drill(_Table, frozen=True, kw_only=True):
    """How a job's newest snapshots are restored for proof.

    `assert` is a command that must end with 0 in the container that is drilled, `container`, or
    the job's only one. `settle` is how long a container without a health check has to run.
    """

    schedule: str | None = None
    boot: bool = True
    container: str | None = None
    assert_: list[str] | None = msgspec.field(default=None, name="assert")
    settle: str = "10s"
    timeout: str = "5min"


class Job(_Table, frozen=True, kw_only=True):
    """What is backed up, when, how, and what is kept of it.

    A volume or container is chosen by any of `volumes`, `containers`, `projects` (of compose),
    `labels` ("key" or "key=value"), `patterns` (of names) or `all`, unless `exclude` names it
    (volume:NAME, container:NAME, project:NAME, path:/dir, or a pattern of names). `ping` is a check
    of its own, as that of `notify` is one for all.
    """

    host: str = LOCAL
    repository: str | None = None
    volumes: list[str] = []
    containers: list[str] = []
    projects: list[str] = []
    labels: list[str] = []
    patterns: list[str] = []
    all: bool = False
    exclude: list[str] = []
    images: bool = False
    exclude_files: list[str] = []
    exclude_caches: bool = False
    exclude_larger_than: str | None = None
    tags: list[str] = []
    schedule: str | None = None
    time_zone: str | None = None
    jitter: str | None = None
    keep: Keep | None = None
    quiesce: Quiesce | None = None
    grace: str | None = None
    hooks: list[Hook] = []
    dump: str | None = None
    ping: str | None = None
    drill: Drill | None = None


class Notify(_Table, frozen=True, kw_only=True):
    """Who is told, and of what. `urls` are those of apprise, `urls_file` has one a line.

    `ping` is the URL of a check in the manner of healthchecks.io: /start and /fail are added.
    """

    urls: list[str] = []
    urls_file: str | None = None
    on: list[Occasion] = msgspec.field(default_factory=lambda: [*Occasion])
    ping: str | None = None


class Metrics(_Table, frozen=True, kw_only=True):
    """Where Prometheus finds what it asks for: a file for its node exporter, an address."""

    textfile: str | None = None
    listen: str | None = None


class Config(_Table, frozen=True, kw_only=True):
    """All of a file."""

    hosts: dict[str, Host] = {}
    repositories: dict[str, Repository] = {}
    jobs: dict[str, Job] = {}
    notify: Notify | None = None
    metrics: Metrics | None = None
    parallel: Annotated[int, Meta(ge=1, le=16)] = 1

"""An SFTP server that lies, or is broken: told in a sentence, in bounded time and memory."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.testbed import liar
from tests.testbed.farhost import Account
from tests.testbed.sshd import Sshd
from transports.errors import ConnectionLost, Refused, TransportError, Unreadable
from transports.ssh import Link, Options, open_link, sftp
from transports.ssh.answer import SftpFailure
from transports.ssh.sftp import FOR_NEW, FOR_READING, SftpSession
from transports.store.sftp import SftpStore

SEEDS = range(150)
ROOT = Account(name="root")  # who may run this Python


def lying(host: Sshd, greeting: str = "") -> Sshd:
    """The same, with a subsystem that lies."""
    config = host.directory / "sshd_config"
    command = f"{sys.executable} -IS {liar.__file__} {greeting}"
    config.write_text(config.read_text().replace("internal-sftp", command))
    return host


@pytest.fixture(scope="module")
def config(run_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with Sshd(run_directory, account=ROOT) as host:
        yield lying(host).config_for(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def link(config: Path) -> Iterator[Link]:
    link = open_link("ssh://far", Options(config=config))
    yield link
    link.close()


@pytest.fixture
def session(link: Link) -> Iterator[SftpSession]:
    session = link.sftp()
    yield session
    session.close()


def written(session: SftpSession, lie: str) -> None:
    handle = session.open(f"{lie}/file", FOR_NEW)
    session.write_all(handle, bytes(100_000), sync=False)


def read(session: SftpSession, lie: str) -> bytes:
    handle = session.open(f"{lie}/file", FOR_READING)
    return session.read_all(handle, 0, len(liar.CONTENT))


ACTS: dict[str, Callable[[SftpSession, str], object]] = {
    "names": lambda session, lie: list(session.names(lie)),
    "attributes": lambda session, lie: session.stat(f"{lie}/file"),
    "handle": read,
    "data": read,
    "status": written,
}


@pytest.mark.parametrize("lie", [lie for lie in liar.LIES if lie.partition("-")[0] in ACTS])
def test_a_lie_is_told_at_once(
    lie: str, session: SftpSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sftp, "MOST_NAMES", 50_000)
    began = time.monotonic()

    with pytest.raises(Refused, match=r"^what ssh://\S+ says is no SFTP: .{10,80}$"):
        ACTS[lie.partition("-")[0]](session, lie)

    assert time.monotonic() - began < 5
    with pytest.raises(ConnectionLost, match="has ended"):
        session.stat("file")


@pytest.mark.parametrize("lie", [lie for lie in liar.RAW if lie != "drips"])
@pytest.mark.parametrize("act", ["names", "attributes", "status"])
def test_what_is_no_answer_ends_the_session(lie: str, act: str, session: SftpSession) -> None:
    with pytest.raises((Refused, ConnectionLost), match=r"no SFTP|ended the SFTP session"):
        ACTS[act](session, lie)


def test_an_answer_that_drips_is_given_up(
    session: SftpSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sftp, "_PATIENCE_S", 0.5)

    with pytest.raises(ConnectionLost, match="has not answered for"):
        session.stat("drips/file")


@pytest.mark.parametrize("greeting", liar.GREETINGS)
def test_what_does_not_begin_as_sftp_is_refused(
    greeting: str, start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    host = lying(start_sshd(account=ROOT), greeting)
    link = open_link("ssh://far", Options(config=host.config_for(tmp_path)))

    with pytest.raises(Refused, match=r"no SFTP|ended the SFTP session at once"):
        link.sftp()

    link.close()


def test_what_the_server_says_is_shown_on_one_short_line(session: SftpSession) -> None:
    with pytest.raises(SftpFailure) as failed:
        session.open("said-long/file", FOR_READING)

    assert len(str(failed.value)) <= 300
    assert "\n" not in str(failed.value)


def test_an_object_of_an_impossible_size_is_not_read(config: Path) -> None:
    store = SftpStore("ssh://far", "size-huge", Options(config=config))

    with pytest.raises(Unreadable, match="too large"):
        store.get("packs/a")

    store.close()


def test_a_store_goes_on_with_another_session_after_a_lie(config: Path) -> None:
    store = SftpStore("ssh://far", "number-other", Options(config=config))

    for _ in range(3):
        with pytest.raises(Refused, match="no SFTP: an answer to what was not asked"):
            store.stat("packs/a")

    store.close()


@pytest.mark.parametrize("part", range(5))
def test_random_noise_in_answers_is_an_error_or_does_no_harm(
    part: int, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sftp, "MOST_NAMES", 50_000)
    began = time.monotonic()

    for seed in SEEDS[part::5]:
        session = link.sftp()
        for act in ACTS.values():
            with contextlib.suppress(SftpFailure, TransportError):
                act(session, f"seed-{seed}")
        session.close()

    assert time.monotonic() - began < 60

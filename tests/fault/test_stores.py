"""A link to a store that is cut, slow, or answers 503: the call succeeds when it is tried again, or
fails in a clear sentence, and never is half an object there, or half of one taken for whole."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.stores import in_bucket, on_host, patient, through
from tests.testbed import buckets
from tests.testbed.proxy import Proxy
from transports.errors import ConnectionLost
from transports.ssh import Options
from transports.store import Store
from transports.store.rclone import Daemon, RcloneStore
from transports.store.sftp import SftpStore

DATA = bytes(range(256)) * 1200
THERE = "packs/there"
NEW = "packs/new"

ACTS: dict[str, Callable[[Store], object]] = {
    "put": lambda store: store.put(NEW, DATA),
    "get": lambda store: store.get(THERE),
    "range": lambda store: store.get(THERE, 1000, 200_000),
    "list": lambda store: [info.name for info in store.list("packs")],
    "stat": lambda store: store.stat(THERE).size,
    "delete": lambda store: store.delete(THERE),
}
RESULTS = {
    "put": None,
    "get": DATA,
    "range": DATA[1000:201_000],
    "list": [THERE],
    "stat": len(DATA),
    "delete": None,
}
AFTER = {act: {THERE: DATA} for act in ACTS} | {"put": {THERE: DATA, NEW: DATA}, "delete": {}}
FAULTS: dict[str, Callable[[Proxy], object]] = {
    "cut at once": lambda proxy: proxy.cut(0, times=2),
    "cut in the reply": lambda proxy: proxy.cut(100, times=2),
    "cut in the data": lambda proxy: proxy.cut(60_000, times=2),
    "truncated": lambda proxy: proxy.cut(60_000, reset=False, times=2),
    "cut in what is sent": lambda proxy: proxy.cut(90_000, towards="server", times=2),
    "half is sent": lambda proxy: proxy.cut(90_000, towards="server", reset=False, times=2),
    "busy": lambda proxy: proxy.answer(503, times=2),
    "too many": lambda proxy: proxy.answer(429, times=2),
    "slow": lambda proxy: proxy.delay(0.2),
}
OF_ALL = ("cut at once", "cut in the reply", "busy", "too many", "slow")
OF_SOME = {
    "put": ("cut in what is sent", "half is sent"),
    "get": ("cut in the data", "truncated"),
    "range": ("cut in the data", "truncated"),
}
OF_RCLONE = {
    "put": ("cut in the reply", "cut in what is sent", "half is sent", "busy"),
    "get": ("cut in the data", "truncated", "busy"),
    "list": ("cut in the reply",),
    "delete": ("cut in the reply",),
}
"""rclone tries some things again itself, in its own time."""
OF_SFTP = {
    "put": ("cut at once", "cut in what is sent", "half is sent"),
    "get": ("cut in the reply", "cut in the data", "truncated", "slow"),
    "delete": ("cut in the reply",),
}
CASES = [
    *(("object", act, fault) for act in ACTS for fault in (*OF_ALL, *OF_SOME.get(act, ()))),
    *(("rclone", act, fault) for act, faults in OF_RCLONE.items() for fault in faults),
    *(("sftp", act, fault) for act, faults in OF_SFTP.items() for fault in faults),
]


@dataclass(frozen=True, slots=True)
class Way:
    """A store, the same behind a proxy and without patience, and the proxy."""

    direct: Store
    far: Store
    proxy: Proxy


@pytest.fixture
def way(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Way]:
    """The way to a store that has one object."""
    host = request.getfixturevalue("sftp_server" if kind == "sftp" else "moto")
    home = on_host(host, tmp_path) if kind == "sftp" else in_bucket(host, tmp_path)
    with Proxy(host.port) as proxy, closing(home.store) as direct:
        home.prepare()
        direct.create()
        direct.put(THERE, DATA)
        with closing(FAR[kind](direct, host, proxy, tmp_path, monkeypatch)) as far:
            yield Way(direct, far, proxy)


def by_object(direct, _host, proxy, directory, _monkeypatch):
    return through(proxy.port, bucket_of(direct), directory)


def by_rclone(direct, _host, proxy, directory, monkeypatch):
    config = directory / "rclone.conf"
    config.write_text(
        "[far]\ntype = s3\nprovider = Other\nforce_path_style = true\nregion = us-east-1\n"
        f"endpoint = http://127.0.0.1:{proxy.port}\naccess_key_id = {buckets.ACCESS_KEY}\n"
        f"secret_access_key = {buckets.SECRET_KEY}\nno_check_bucket = true\n"
    )
    monkeypatch.setenv("RCLONE_CONFIG", str(config))
    daemon = Daemon(str(buckets.program("rclone")))
    return RcloneStore(f"far:{bucket_of(direct)}/some/prefix", daemon)


def by_sftp(direct, host, proxy, directory, _monkeypatch):
    config = host.config_for(directory / "behind", port=proxy.port)
    place = direct.url.partition("://")[2].partition("/")[2]
    return SftpStore("ssh://far", f"/{place}", Options(config=config))


FAR = {"object": by_object, "rclone": by_rclone, "sftp": by_sftp}


def bucket_of(store: Store) -> str:
    return store.url.removeprefix("s3://").partition("/")[0]


def contents(store: Store) -> dict[str, bytes]:
    return {info.name: store.get(info.name) for info in store.list("packs")}


@pytest.mark.parametrize(("kind", "act", "fault"), CASES)
def test_what_fails_by_the_link_succeeds_when_it_is_tried_again(way, kind, act, fault):
    FAULTS[fault](way.proxy)

    assert ACTS[act](patient(way.far)) == RESULTS[act]

    assert contents(way.direct) == AFTER[act]


@pytest.mark.parametrize(("kind", "act", "fault"), CASES)
def test_without_patience_it_fails_in_a_sentence_and_nothing_is_half_there(way, kind, act, fault):
    FAULTS[fault](way.proxy)
    result, said = None, ""

    try:
        result = ACTS[act](way.far)
    except ConnectionLost as error:
        said = str(error)

    assert said.startswith(("cannot ", "no SSH connection to ", "the ")) or (
        not said and result == RESULTS[act]
    )
    assert "\n" not in said
    assert buckets.SECRET_KEY not in said
    assert contents(way.direct) in (AFTER[act], {THERE: DATA})


@pytest.mark.parametrize("kind", ["object", "rclone"])
@pytest.mark.parametrize("act", ["put", "get", "list"])
def test_a_server_that_falls_silent_is_a_lost_connection(way, kind, act, monkeypatch):
    module = "object.store" if kind == "object" else "rclone.store"
    way.far.stat(THERE)
    monkeypatch.setattr(f"transports.store.{module}.within_s", lambda _size: 0.5)
    way.proxy.freeze()

    with pytest.raises(ConnectionLost, match=r"cannot .* in time"):
        ACTS[act](way.far)

    way.proxy.thaw()
    assert contents(way.direct) in (AFTER[act], {THERE: DATA})

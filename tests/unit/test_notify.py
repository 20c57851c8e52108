"""Who is told, of what, and how often: with a real server at the other end."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from backup.config import Occasion
from backup.discretion import scrubbed
from backup.notify import Alarm, Bell, Ended, Observation, Ping, Target, alarms, ping, send
from tests.testbed.listener import Listener

FAILURE, RECOVERY, OVERDUE = Occasion.FAILURE, Occasion.RECOVERY, Occasion.OVERDUE


def bell(
    state: Path, *urls: str, on: tuple[Occasion, ...] = tuple(Occasion), ping: str = ""
) -> Bell:
    return Bell(
        machine="host",
        targets=tuple(Target(f"url {number}", url) for number, url in enumerate(urls)),
        on=on,
        pings={"job nightly": ping} if ping else {},
        state=state,
        complain=COMPLAINTS.append,
    )


COMPLAINTS: list[str] = []


@pytest.fixture(autouse=True)
def _no_complaints() -> None:
    COMPLAINTS.clear()


def ended(wrong: bool, job: str = "nightly") -> Ended:
    line = f"job {job}: {'failed: no space' if wrong else 'ok'}"
    return Ended(subject=f"job {job}", run="r1", wrong=wrong, code=int(wrong), lines=(line,))


def json_url(listener: Listener, path: str = "told") -> str:
    return f"json://{'user'}:hunter2secret@127.0.0.1:{listener.port}/{path}"


def titles(listener: Listener) -> list[str]:
    return [json.loads(each.body)["title"] for each in listener.heard]


def observed(wrong: Occasion | None) -> Observation:
    return Observation(subject="job a", wrong=wrong, text="it")


@pytest.mark.parametrize(
    ("before", "seen", "expected"),
    [
        ([], None, []),
        ([], FAILURE, [FAILURE]),
        ([FAILURE], FAILURE, []),
        ([FAILURE], None, [RECOVERY]),
        ([FAILURE], OVERDUE, [OVERDUE]),
        ([OVERDUE], OVERDUE, []),
        ([OVERDUE], FAILURE, [FAILURE]),
        ([OVERDUE, FAILURE], None, [RECOVERY]),
    ],
)
def test_what_is_news_is_told(before, seen, expected) -> None:
    found = alarms({"job a": frozenset(before), "job b": frozenset([FAILURE])}, [observed(seen)])

    assert found == [Alarm(subject="job a", occasion=each, text="it") for each in expected]


def test_a_failure_and_a_recovery_are_told_once_each(listener: Listener, tmp_path: Path) -> None:
    for wrong in (False, True, True, True, False, False, True):
        bell(tmp_path, json_url(listener)).ended(ended(wrong))

    assert titles(listener) == [
        "voltar on host: job nightly failed",
        "voltar on host: job nightly is well again",
        "voltar on host: job nightly failed",
    ]
    assert COMPLAINTS == []


def test_a_target_that_is_down_is_told_later_and_the_other_not_twice(
    listener: Listener, tmp_path: Path
) -> None:
    with Listener() as other:
        other.answers = [503]
        both = bell(tmp_path, json_url(other), json_url(listener))
        both.ended(ended(wrong=True))
        both.ended(ended(wrong=True))

        assert len(titles(other)) == 2
    assert titles(listener) == ["voltar on host: job nightly failed"]
    [complaint] = COMPLAINTS
    assert complaint.startswith("url 0 was not told of job nightly: ")
    assert "hunter2" not in complaint


def test_a_target_that_nobody_wants_told_of_a_recovery_is_told_of_the_next_failure(
    listener: Listener, tmp_path: Path
) -> None:
    for wrong in (True, False, True):
        bell(tmp_path, json_url(listener), on=(FAILURE,)).ended(ended(wrong))

    assert titles(listener) == ["voltar on host: job nightly failed"] * 2


def test_what_is_overdue_is_told_once_beside_a_failure(listener: Listener, tmp_path: Path) -> None:
    told = bell(tmp_path, json_url(listener))
    told.ended(ended(wrong=True))
    for _ in range(2):
        told.observed([Observation(subject="job nightly", wrong=OVERDUE, text="since Monday")])
    told.ended(ended(wrong=False))

    assert titles(listener) == [
        "voltar on host: job nightly failed",
        "voltar on host: job nightly is overdue",
        "voltar on host: job nightly is well again",
    ]


def test_of_two_runs_that_fail_at_the_same_time_one_tells(
    listener: Listener, tmp_path: Path
) -> None:
    script = textwrap.dedent(f"""
        from tests.unit.test_notify import *
        bell(Path({str(tmp_path)!r}), {json_url(listener)!r}).ended(ended(True))
    """)
    argv = [sys.executable, "-c", script]
    processes = [subprocess.Popen(argv, cwd=Path(__file__).parents[2]) for _ in range(3)]

    assert [each.wait(60) for each in processes] == [0, 0, 0]
    assert len(listener.heard) == 1


def test_who_is_killed_while_telling_tells_again(tmp_path: Path) -> None:
    pids: list[int] = []

    def kill() -> None:
        if pids:
            os.kill(pids.pop(), signal.SIGKILL)

    with Listener(before_answer=kill) as listener:
        script = textwrap.dedent(f"""
            from tests.unit.test_notify import *
            input()
            bell(Path({str(tmp_path)!r}), {json_url(listener)!r}).ended(ended(True))
        """)
        argv = [sys.executable, "-c", script]
        for expected in (-signal.SIGKILL, 0, 0):
            process = subprocess.Popen(argv, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE)
            if expected:
                pids.append(process.pid)
            process.communicate(b"\n", timeout=60)
            assert process.returncode == expected

    assert titles(listener) == ["voltar on host: job nightly failed"] * 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"a": 1}', b"\xff"])
def test_a_damaged_memory_tells_once_more(
    damage: bytes, listener: Listener, tmp_path: Path
) -> None:
    (tmp_path / "alarms.json").write_bytes(damage)

    for _ in range(2):
        bell(tmp_path, json_url(listener)).ended(ended(wrong=True))

    assert len(listener.heard) == 1
    assert COMPLAINTS == []


def test_no_place_to_remember_is_a_complaint_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    bell(tmp_path / "file", "json://127.0.0.1:1/").ended(ended(wrong=True))

    assert [f"nobody can be told: {tmp_path / 'file'}: File exists"] == COMPLAINTS


def test_without_apprise_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)  # as Python itself marks what is not there

    bell(tmp_path, "json://127.0.0.1:1/").ended(ended(wrong=True))

    assert COMPLAINTS == [
        "url 0 was not told of job nightly: notifications need apprise, which is not installed"
        " (pip install 'voltar[notify]')"
    ]


def test_a_run_pings_its_check_at_its_begin_and_end(listener: Listener, tmp_path: Path) -> None:
    told = bell(tmp_path, ping=f"http://me:it%40me@127.0.0.1:{listener.port}/uuid?create=1")
    for wrong in (False, True):
        told.started("job nightly")
        told.ended(ended(wrong))

    assert listener.paths == [
        "/uuid/start?create=1",
        "/uuid?create=1",
        "/uuid/start?create=1",
        "/uuid/fail?create=1",
    ]
    assert listener.heard[-1].headers["Authorization"] == "Basic bWU6aXRAbWU="
    assert listener.heard[-1].body == ("host: job nightly: failed: no space\nrun r1, exit code 1")


def test_a_check_that_stumbles_is_asked_again_and_one_that_refuses_is_not(
    listener: Listener,
) -> None:
    url = f"http://127.0.0.1:{listener.port}/uuid"
    listener.answers = [500, 200, 404]

    ping(url, Ping.SUCCESS, "")
    with pytest.raises(OSError, match="it answered 404"):
        ping(url, Ping.SUCCESS, "")

    assert len(listener.heard) == 3


def test_a_check_that_is_gone_is_a_complaint_that_names_no_url(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        url = f"http://user:hunter2@127.0.0.1:{holder.getsockname()[1]}/uuid"
        bell(tmp_path, ping=url).started("job nightly")

    assert COMPLAINTS == ["the start ping of job nightly did not arrive: Connection refused"]


@pytest.mark.parametrize(
    "tell",
    [
        lambda place: ping(f"http://{place}", Ping.START, "", within_s=1),
        lambda place: send(Target("place", f"json://{place}"), "title", "body", within_s=1),
    ],
    ids=["ping", "target"],
)
def test_who_answers_drop_by_drop_holds_nothing_up(tell: Callable[[str], None]) -> None:
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not done.wait(0.1):
                    connection.send(b"x")

        (thread := threading.Thread(target=drip)).start()
        try:
            with pytest.raises(OSError, match="no answer within 1 s"):
                tell(f"127.0.0.1:{server.getsockname()[1]}/")
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    ("text", "url", "expected"),
    [
        ("sftp://me:secret@nas/x is full", "", "sftp://me:***@nas/x is full"),
        ("no answer of api.example.org", "https://api.example.org/t0ken", "no answer of ***"),
        ("key t0ken-1 is wrong", "tgram://t0ken-1/chat", "key *** is wrong"),
        ("all is well", "json://a/b", "all is well"),
    ],
)
def test_what_is_in_a_url_is_in_no_message(text: str, url: str, expected: str) -> None:
    assert expected == scrubbed(text, url)


def test_a_target_does_not_show_its_url() -> None:
    assert "secret" not in repr(Target("place", "json://secret/"))

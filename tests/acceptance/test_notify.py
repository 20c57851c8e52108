"""Runs that fail and recover, and who hears of it; and where no secret may be."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.cli import PASSWORD, Running, Voltar
from tests.acceptance.test_jobs import configured
from tests.testbed.engine import Engine
from tests.testbed.listener import Listener

SECRETS = ("apprise-pass-71", "ping-token-4711", "apprise-token-99", PASSWORD)


def telling(listener: Listener, *volumes: str) -> str:
    host = f"127.0.0.1:{listener.port}"
    return (
        f"[jobs.nightly]\nvolumes = {json.dumps(volumes)}\n"
        f'ping = "http://{host}/ping-token-4711"\n'
        f'[notify]\nurls = ["json://me:apprise-pass-71@{host}/apprise-token-99"]\n'
    )


def descendants(pid: int) -> list[int]:
    """A process and all that it started, as far as they are there."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in descendants(int(child)))]


def shown(pid: int) -> bytes:
    """What everybody sees of a process, and what its user sees."""
    found = b""
    for name in ("cmdline", "environ"):
        try:
            found += Path(f"/proc/{pid}/{name}").read_bytes()
        except OSError:
            continue
    return found


def test_a_failure_and_a_recovery_are_told_once_and_no_secret_is_anywhere(
    voltar: Voltar,
    engine: Engine,
    filled: Callable[..., str],
    fresh: Callable[..., str],
    listener: Listener,
) -> None:
    volume, late = filled(), fresh()
    jobs = configured(voltar, telling(listener, volume, late))

    said = [jobs("-v", "run", "nightly", code=3).said for _ in range(2)]
    engine.docker("volume", "create", late)
    said.append(jobs("--json", "run", "nightly").said)
    said.append(jobs("notify", "test").said)

    assert [each.path for each in listener.heard] == [
        "/ping-token-4711/start",
        "/ping-token-4711/fail",
        "/apprise-token-99",
        "/ping-token-4711/start",
        "/ping-token-4711/fail",
        "/ping-token-4711/start",
        "/ping-token-4711",
        "/apprise-token-99",
        "/apprise-token-99",
        "/ping-token-4711/log",
    ]
    failed, recovered = (json.loads(listener.heard[number].body) for number in (2, 7))
    assert failed["title"].endswith(": job nightly failed")
    assert f"volume:{late}" in failed["message"]
    assert "exit code 3" in failed["message"]
    assert recovered["title"].endswith(": job nightly is well again")
    kept = b"".join(
        each.read_bytes() for each in (jobs.home / "state").rglob("*") if each.is_file()
    )
    told = "".join(each.body for each in listener.heard)
    for secret in SECRETS:
        assert secret not in told + "".join(said)
        assert secret.encode() not in kept


def test_no_secret_is_seen_in_any_process_of_a_run(
    voltar: Voltar, filled: Callable[..., str], listener: Listener
) -> None:
    jobs = configured(voltar, telling(listener, filled())).changed(executed=True)
    path = Path(jobs.more["VOLTAR_CONFIG"])
    file = jobs.home / "password"
    asked = f'password-command = ["sh", "-c", "sleep 0.3; cat {file}"]'
    path.write_text(path.read_text().replace(f'password-file = "{file}"', asked))
    seen: dict[int, bytes] = {}

    with jobs.start("run", "nightly") as running:
        while running.process.poll() is None:
            for pid in descendants(running.process.pid):
                seen[pid] = seen.get(pid, b"") + shown(pid)
        assert running.end().code == 0

    assert any(b"cat " in each for each in seen.values())
    assert sum(b"VOLTAR_CONFIG" in each for each in seen.values()) > 1
    for secret in SECRETS:
        assert not any(secret.encode() in each for each in seen.values())


def test_a_run_whose_listeners_are_gone_is_as_good_as_any(
    voltar: Voltar, filled: Callable[..., str], listener: Listener
) -> None:
    jobs = configured(voltar, telling(listener, filled()).replace("127.0.0.1", "127.0.0.2"))

    done = jobs("run", "nightly")

    assert "the start ping of job nightly did not arrive: Connection refused" in done.err
    assert "the success ping of job nightly did not arrive" in done.err
    assert jobs("notify", "test", code=1).text.count("failed  ") == 2


def test_a_file_of_urls_that_is_gone_is_told_and_fails_no_run(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    text = f'[jobs.nightly]\nvolumes = ["{filled()}"]\n[notify]\nurls-file = "/nonexistent"\n'
    jobs = configured(voltar, text)

    assert (
        "nobody is told of this run: cannot read the notify.urls-file" in jobs("run", "nightly").err
    )
    assert "/nonexistent" in jobs("notify", "test", code=2).err


def test_a_run_that_is_killed_is_told_of_by_whoever_looks_and_once(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    victims: list[Running] = []

    def kill() -> None:
        if victims:
            victims.pop().process.kill()

    with Listener(before_answer=kill) as listener:
        jobs = configured(voltar, telling(listener, filled()))
        running = jobs.start("run", "nightly")
        victims.append(running)
        running.process.communicate(timeout=60)
        assert running.process.returncode < 0

        for _ in range(2):
            jobs("notify", "overdue")
        jobs("run", "nightly")
        jobs("notify", "overdue")

    told = [json.loads(each.body) for each in listener.heard if "apprise" in each.path]
    assert [each["title"].split(": ")[1] for each in told] == [
        "job nightly failed",
        "job nightly is well again",
    ]
    assert listener.heard[0].path == "/ping-token-4711/start"

"""Jobs of a host that is reached by SSH only: the same as here, whatever becomes of the link."""

import json
import os
import signal
from collections.abc import Callable

import pytest

from tests.acceptance import servers
from tests.acceptance.cli import Voltar, until
from tests.acceptance.drilling import HEALTH, SERVES, left
from tests.acceptance.far import Far
from tests.acceptance.files import fill
from tests.acceptance.servers import POSTGRES
from tests.acceptance.test_jobs import configured
from tests.acceptance.test_quiesce import NOISY_END, PHASES, journals, state
from tests.testbed import images
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch
from tests.testbed.sshd import Sshd


def jobs_of(far: Far, text: str) -> Voltar:
    """The command with a configured host; there is no engine here."""
    there = f'[hosts.web1]\nurl = "{far.voltar.url}"\n'
    return configured(far.voltar.changed(url="unix:///nonexistent"), there + text)


def test_a_job_of_a_far_host_is_planned_run_and_drilled_there(
    reach: Callable[..., Far], own_host: Sshd, image: str
) -> None:
    far = reach(own_host)
    volume = far.volume({"table": b"rows\n"})
    name = far.scratch.running(image, *SERVES, options=("-v", f"{volume}:/data", *HEALTH))
    before = state(far.engine, name)["StartedAt"]
    hook = f'container = "{name}", user = "1", directory = "/data"'
    here = far.voltar.home / "here"
    jobs = jobs_of(
        far,
        f"""[jobs.n]
        host = "web1"
        containers = ["{name}"]
        quiesce = "stop"
        hooks = [
          {{ when = "before", command = ["sh", "-c", "id -u; pwd; cat table"], {hook} }},
          {{ when = "after", command = ["touch", "{here}"] }},
        ]
        drill = {{ assert = ["sh", "-c", "hostname; exec grep rows /data/table"] }}
        """,
    )

    assert f"stops {name} within 10 s" in jobs("plan", "n").text
    assert jobs.ask("coverage", code=3)["sources"][0]["state"] == "stale"
    done = jobs("run", "n")
    assert "said: 1\\n/data\\nrows" in done.err
    assert f"{name}: was stopped for" in done.err
    assert here.exists()
    started = state(far.engine, name)["StartedAt"]
    assert started != before
    (covered,) = jobs.ask("coverage")["sources"]
    assert (covered["host"], covered["state"]) == ("web1", "protected")
    drill = jobs.summary("drill", "n")

    assert (drill["result"], drill["level"]) == ("ok", "assert")
    assert state(far.engine, name)["StartedAt"] == started
    assert left(far.engine) == []
    far.assert_clean()


@pytest.mark.parametrize("killed", [False, True], ids=["the link", "voltar and the link"])
def test_what_was_stopped_when_all_is_cut_runs_again(
    reach: Callable[..., Far], own_host: Sshd, image: str, killed: bool
) -> None:
    """The server takes new connections: a run that lives uses one, and for one that was killed
    `recover` goes by what the journal says of the host."""
    far = reach(own_host)
    volume = far.volume()
    name = far.scratch.running(image, *NOISY_END, options=("-v", f"{volume}:/v"))
    jobs = jobs_of(far, f'[jobs.n]\nhost = "web1"\nvolumes = ["{volume}"]\nquiesce = "stop"\n')

    with jobs.start("run", "n") as running:
        until(lambda: any(PHASES["reading"] in each.read_text() for each in journals(jobs)))
        if killed:
            os.killpg(running.process.pid, signal.SIGKILL)
        own_host.kill_sessions()
        ended = running.end()
    if killed:
        (journal,) = journals(jobs)
        assert json.loads(journal.read_text().splitlines()[0])["url"] == far.voltar.url
        assert not state(far.engine, name)["Running"]
        said = jobs("recover").err
        assert f"(run {journal.stem}) on {far.voltar.url}; what it had made quiet runs" in said
    else:
        assert ended.code == 1
        assert f"the connection to {far.voltar.url} was lost" in ended.err

    assert state(far.engine, name)["Running"]
    assert journals(jobs) == []
    assert far.voltar.ask("snapshots") == []
    jobs("run", "n")
    assert len(far.voltar.ask("snapshots")) == 1
    far.assert_clean()


def test_a_drill_that_is_cut_off_leaves_nothing_there(
    reach: Callable[..., Far], own_host: Sshd, image: str
) -> None:
    """One that lives clears up by another link; one that was killed is cleared up by the next run
    of the host."""
    far = reach(own_host)
    volume = far.volume({"table": b"rows\n"})
    name = far.scratch.running(image, *SERVES, options=("-v", f"{volume}:/data"))
    drill = 'drill = { assert = ["sleep", "900"], settle = "1s" }'
    jobs = jobs_of(far, f'[jobs.n]\nhost = "web1"\ncontainers = ["{name}"]\n{drill}\n')
    jobs("run", "n")
    before = state(far.engine, name), far.content(volume)

    with jobs.start("drill", "n") as running:
        until(lambda: len(left(far.engine)) > 3, what="the drill's container")
        own_host.kill_sessions()
        assert "was lost" in running.end().err
    assert left(far.engine) == []
    with jobs.start("drill", "n") as running:
        until(lambda: len(left(far.engine)) > 3, what="the drill's container")
        running.kill()
    assert "was killed; what it made is removed" in jobs("run", "n").err

    assert left(far.engine) == []
    assert (state(far.engine, name), far.content(volume)) == before
    far.assert_clean()


def test_a_database_of_a_far_host_is_dumped_and_fed_back(
    reach: Callable[..., Far], own_host: Sshd
) -> None:
    """Both go through commands in containers, which must be ended over there, too."""
    far = reach(own_host)
    server = servers.serve(far.scratch, POSTGRES, filled=True)
    into = servers.serve(far.scratch, POSTGRES)
    job = f'[jobs.n]\nhost = "web1"\ncontainers = ["{server.container}"]\ndump = "postgres"\n'
    jobs_of(far, job)("run", "n")

    done = far.voltar("restore", server.source, "--to", f"container:{into.container}")

    assert "dumped again and compared" in done.text
    assert into.ask("select twice(21);") == ["42"]
    far.assert_clean()


def serve(scratch: Scratch, name: str, volume: str, content: bytes) -> None:
    """Start a container of that name with a volume of that name."""
    scratch.volume(name=volume)
    fill(scratch.engine.volume_directory(volume), {"table": content})
    scratch.claim(containers=[name])
    options = ("--detach", "--name", name, "--volume", f"{volume}:/data")
    scratch.engine.docker("run", *options, images.tools(scratch.engine), *SERVES)


def test_two_hosts_with_the_same_names_never_mix(
    reach: Callable[..., Far],
    own_host: Sshd,
    start_engine: Callable[..., Engine],
) -> None:
    """Not even where one machine is a clone of the other: these engines have one id."""
    far, other = reach(own_host), start_engine()
    volume, name = far.scratch.name("data"), far.scratch.name("db")
    with Scratch(other) as there:
        for scratch, content in ((far.scratch, b"one\n"), (there, b"two\n")):
            serve(scratch, name, volume, content)
        both = "".join(
            f'[jobs.{job}]\nhost = "{host}"\ncontainers = ["{name}"]\nkeep = {{ last = 1 }}\n'
            f'quiesce = "stop"\n'
            f'drill = {{ settle = "1s", assert = ["grep", "{content}", "/data/table"] }}\n'
            for job, host, content in (("a", "web1", "one"), ("b", "web2", "two"))
        )
        jobs = jobs_of(far, f'[hosts.web2]\nurl = "{other.url}"\n{both}')

        assert "both called" in jobs("coverage", code=3).err
        other.daemon.call("elsewhere")
        jobs("run", "a")
        states = {one["host"]: one["state"] for one in jobs.ask("coverage", code=3)["sources"]}
        assert states == {"web1": "protected", "web2": "stale"}
        with jobs.start("run", "a") as running:
            until(lambda: any(PHASES["reading"] in each.read_text() for each in journals(jobs)))
            running.kill()
        assert "was killed" not in jobs("run", "b").err
        assert not state(far.engine, name)["Running"]
        assert f"on {far.voltar.url}; what it had made quiet runs" in jobs("run", "a").err
        assert state(far.engine, name)["Running"]
        assert state(other, name)["Running"]

        found = far.voltar.ask("snapshots")
        assert sorted(one["host"] for one in found)[0] == "elsewhere"
        assert len(found) == 2
        assert jobs.summary("drill", "b")["level"] == "assert"
        told = {one["job"]: one["sources"][0]["host"] for one in jobs.ask("status")["jobs"]}
        assert told["b"] == "elsewhere" != told["a"]

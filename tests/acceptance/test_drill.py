"""Drills of real containers: what is right is proven, and what is wrong is found at its level, with
a message that names the cause."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.cli import Voltar
from tests.acceptance.drilling import HEALTH, SERVES, left, levels, served, steps
from tests.acceptance.test_jobs import configured
from tests.testbed import images
from tests.testbed.engine import Engine, Pool
from tests.testbed.listener import Listener
from tests.testbed.scratch import Scratch

ALL = ("catalog", "store", "content", "boot", "assert")


pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_a_job_is_drilled_up_to_its_assertion(
    voltar: Voltar, scratch: Scratch, image: str, tmp_path: Path
) -> None:
    settings = voltar.home / "app.conf"
    settings.write_text("setting\n")
    name = served(scratch, image, *HEALTH, "-v", f"{settings}:/etc/app.conf:ro")
    says = "exec 2>&1; cat /data/table /etc/app.conf; printf 'fine\\007'; ! echo x >/etc/app.conf"
    asked = f"drill = {{ assert = {json.dumps(['sh', '-c', says])} }}"
    jobs = configured(voltar, f'[jobs.night]\ncontainers = ["{name}"]\n{asked}\n')
    jobs("run", "night")
    files = {kind: tmp_path / f"drill.{kind}" for kind in ("json", "xml", "prom")}

    done = jobs(
        *("drill", "night", "--report", files["json"], "--junit", files["xml"]),
        *("--prometheus", files["prom"]),
    )

    assert "proven up to: assert" in done.text
    (drill,) = json.loads(files["json"].read_text())["drills"]
    assert (drill["result"], drill["level"], drill["failed"]) == ("ok", "assert", None)
    (unit,) = drill["units"]
    assert unit["subject"] == f"container:{name}"
    assert levels(unit) == dict.fromkeys(ALL, "passed")
    output = unit["container"]["levels"][1]["output"]
    assert output.startswith("rows\nsetting\nfine\x07")
    assert 0 < drill["recovery_point_seconds"] < 600
    stages = drill["recovery_time_seconds"]
    assert all(stages[stage] > 0 for stage in ("select", "restore", "verify", "boot", "assert"))
    suite = ElementTree.parse(files["xml"]).getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("8", "0", "0")
    metrics = list(text_string_to_metric_families(files["prom"].read_text()))
    assert [one.samples[0].value for one in metrics if one.name == "voltar_drill_success"] == [1.0]
    (job,) = jobs.ask("status")["jobs"]
    assert {one["drill"]["level"] for one in job["sources"]} == {"assert"}


def test_each_container_of_a_shared_volume_is_drilled_and_one_without_any_is_told_of(
    voltar: Voltar, scratch: Scratch, image: str, bed: Engine
) -> None:
    """The volume is read once; the second container's definition is nowhere else."""
    first = served(scratch, image, *HEALTH)
    names = [first, scratch.running(image, *SERVES, options=("--volumes-from", first))]
    bare = scratch.running(image, "sleep", "1000")
    listed = json.dumps([*names, bare])
    jobs = configured(voltar, f"[jobs.n]\ncontainers = {listed}\n")
    why = f"container:{bare}: nothing of it is saved"

    assert f"leaves out {why}" in jobs("plan", "n").text
    assert f"skipped {why}" in jobs("run", "n").said
    assert len(voltar.ask("snapshots")) == 1
    bed.docker("rm", "--force", names[1])
    done = jobs("drill", "n", "--settle", "1s", "--report", voltar.home / "drill.json")

    assert f"container:{bare}: it is not drilled" in done.said
    (drill,) = json.loads((voltar.home / "drill.json").read_text())["drills"]
    reached = {unit["subject"]: unit["level"] for unit in drill["units"]}
    assert reached == dict.fromkeys((f"container:{name}" for name in sorted(names)), "boot")
    only = jobs("--json", "drill", names[1], "--settle", "1s").summary["units"]
    assert [unit["subject"] for unit in only] == [f"container:{names[1]}"]


def test_damage_is_found_in_the_store_and_names_the_file(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    volume = filled({"small": b"x", "big/noise": os.urandom(400_000)})
    voltar("backup", f"volume:{volume}")
    assert voltar.repository is not None
    packs = (voltar.repository / "packs").rglob("*")
    pack = max((path for path in packs if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)

    for level in ((), ("--level", "store")):
        done = voltar("--json", "drill", f"volume:{volume}", *level, code=4)

        (unit,) = done.summary["units"]
        assert (unit["level"], unit["failed"]) == ("catalog", "store")
        assert levels(unit)["content"] == "skipped"
        assert "big/noise" in done.summary["message"]
        assert done.summary["damaged"]

    pack.unlink()
    done = voltar("--json", "drill", f"volume:{volume}", "--level", "catalog", code=4)

    assert (done.summary["level"], done.summary["failed"]) == (None, "catalog")
    assert "is in no pack" in done.summary["message"]


def test_a_record_that_is_damaged_fails_the_drill_of_the_others(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    volume = filled()
    for _ in range(2):
        voltar("backup", volume)
    assert voltar.repository is not None
    record = next(path for path in (voltar.repository / "snapshots").rglob("*") if path.is_file())
    record.chmod(0o600)
    record.write_bytes(record.read_bytes()[:-1])

    done = voltar("--json", "drill", volume, "--level", "catalog", code=4)

    assert [unit["level"] for unit in done.summary["units"]] == ["catalog"]
    assert (done.summary["result"], done.summary["damaged"]) == ("failed", True)


def test_what_is_not_started_is_skipped_and_not_passed(
    voltar: Voltar, scratch: Scratch, image: str
) -> None:
    name = scratch.container(image, "true", options=("-v", f"{scratch.volume()}:/data"))
    voltar("backup", name)

    done = voltar("--json", "drill", f"container:{name}")

    (unit,) = done.summary["units"]
    assert (done.summary["result"], unit["level"]) == ("ok", "content")
    assert levels(unit)["boot"] == levels(unit)["assert"] == "skipped"
    assert steps(unit)["boot"]["message"] == "it did not run when it was captured"


def test_a_drill_whose_command_could_not_be_run_is_not_good(
    voltar: Voltar, scratch: Scratch, image: str
) -> None:
    name = scratch.container(image, "true", options=("-v", f"{scratch.volume()}:/data"))
    drill = '[jobs.n.drill]\nassert = ["true"]\n'
    jobs = configured(voltar, f'[jobs.n]\ncontainers = ["{name}"]\n{drill}')
    jobs("run", "n")

    done = jobs("--json", "drill", "n", code=3)

    assert (done.summary["result"], done.summary["level"]) == ("incomplete", "content")
    assert "the job's command was not run" in done.summary["message"]
    jobs("drill", "n", "--level", "content")


def test_a_file_that_is_missing_in_the_restored_volume_fails_the_comparison(
    voltar: Voltar, filled: Callable[..., str], bed: Engine
) -> None:
    volume = filled({"a-victim": b"x", **{f"b{n}": os.urandom(4 << 20) for n in range(12)}})
    voltar("backup", f"volume:{volume}")
    over = threading.Event()

    def steal() -> None:
        while not over.is_set():
            for found in bed.data_root.glob("volumes/voltar-drill-*/_data/b1"):
                (found.parent / "a-victim").unlink(missing_ok=True)

    thief = threading.Thread(target=steal)
    thief.start()
    try:
        done = voltar("--json", "drill", volume, code=4)
    finally:
        over.set()
        thief.join()

    (unit,) = done.summary["units"]
    assert levels(unit) == {"catalog": "passed", "store": "passed", "content": "failed"}
    assert "a-victim is missing" in done.summary["message"]


def test_an_image_that_is_gone_fails_the_boot_unless_the_repository_has_it(
    voltar: Voltar, scratch: Scratch, bed: Engine
) -> None:
    image = images.build(bed, "voltar-test-gone", images.TOOLS, changes=["ENV GONE=1"])
    name = served(scratch, image)
    jobs = configured(voltar, f'[jobs.n]\ncontainers = ["{name}"]\n')
    jobs("run", "n")
    bed.docker("rm", "--force", name)
    bed.docker("save", "-o", str(voltar.home / "kept.tar"), image)
    bed.docker("rmi", image)

    gone = jobs("--json", "drill", "n", "--settle", "1s", code=1)

    (unit,) = gone.summary["units"]
    assert (unit["level"], unit["failed"]) == ("content", "boot")
    assert levels(unit)["assert"] == "skipped"
    assert f"no image '{image} (sha256:" in gone.summary["message"]

    bed.docker("load", "-i", str(voltar.home / "kept.tar"))
    voltar("backup", f"image:{image}")
    bed.docker("rmi", image)
    there = jobs("--json", "drill", "n", "--settle", "1s")

    (unit,) = there.summary["units"]
    assert (unit["level"], levels(unit)["assert"]) == ("boot", "skipped")
    assert bed.attempt("image", "inspect", image).returncode != 0


@pytest.mark.private
def test_another_engine_proves_what_this_one_saved(
    voltar: Voltar, scratch: Scratch, bed: Engine, pool: Pool
) -> None:
    other = pool.engine("28.5-containerd")
    image = images.build(bed, "voltar-test-cross", images.TOOLS, changes=["ENV CROSS=1"])
    other.attempt("rmi", image)
    name = served(scratch, image, *HEALTH)
    text = f'[jobs.n]\ncontainers = ["{name}"]\nimages = true\n'
    jobs = configured(voltar, f'{text}drill = {{ assert = ["cat", "/data/table"] }}\n')
    jobs("run", "n")

    done = jobs("--host", other.url, "--json", "drill", "n")

    told = {unit["subject"]: unit["level"] for unit in done.summary["units"]}
    assert told == {f"container:{name}": "assert", f"image:{image}": "store"}
    assert left(other) == []
    assert other.attempt("image", "inspect", image).returncode != 0


def test_what_does_not_come_up_is_told_with_the_cause(
    voltar: Voltar, scratch: Scratch, image: str
) -> None:
    needs = "test -e /outside/flag || { echo no flag here; exit 7; }; sleep 1000"
    outside = voltar.home / "outside"
    outside.mkdir()
    (outside / "flag").touch()
    kept = ("-v", f"{scratch.volume()}:/data")
    exits = scratch.running(
        image, "sh", "-c", needs, options=(*kept, "-v", f"{outside}:/outside", "--stop-timeout=0")
    )
    sick = ("--health-cmd", "echo ill; false", "--health-interval", "1s")
    ill = served(scratch, image, *sick, "--restart", "always")
    jobs = configured(voltar, f'[jobs.n]\ncontainers = ["{exits}", "{ill}"]\n')
    jobs("run", "n")
    # what was backed up under another path is not what the container would mount
    snapshots = [one for one in voltar.ask("snapshots") if one["source"].startswith("path:")]
    voltar("forget", *(one["id"] for one in snapshots))

    done = jobs("--json", "drill", "n", "--timeout", "3s", code=1)

    told = {unit["subject"]: unit for unit in done.summary["units"]}
    boots = {subject: steps(unit)["boot"]["message"] for subject, unit in told.items()}
    assert "exit code 7" in boots[f"container:{exits}"]
    assert "no flag here" in boots[f"container:{exits}"]
    assert "not healthy after 3 s" in boots[f"container:{ill}"]
    assert "ill" in boots[f"container:{ill}"]
    left_out = told[f"container:{exits}"]["container"]["left_out"]
    assert f"path:{outside} at /outside was not captured: it is not there" in left_out
    assert "the restart policy" in told[f"container:{ill}"]["container"]["left_out"]


def test_an_assertion_that_fails_is_told_with_what_it_said(
    voltar: Voltar, scratch: Scratch, image: str, listener: Listener
) -> None:
    name = served(scratch, image)
    wrong = {
        "fails": ('"sh", "-c", "echo no rows; exit 5"', "ended with exit code 5: no rows"),
        "hangs": ('"sh", "-c", "echo waiting; sleep 900"', "had not ended after 1 s: waiting"),
        "absent": ('"psql", "-c", "select 1"', "psql"),
    }
    jobs = configured(
        voltar,
        "".join(
            f'[jobs.{job}]\ncontainers = ["{name}"]\n[jobs.{job}.drill]\n'
            f'assert = [{command}]\nsettle = "2s"\ntimeout = "1s"\n'
            for job, (command, _) in wrong.items()
        )
        + f'[notify]\nurls = ["json://127.0.0.1:{listener.port}/"]\n',
    )
    jobs("run", "fails")

    done = jobs("--json", "drill", "--all", code=1)

    for drill in (one for one in done.events if one["type"] == "summary"):
        (unit,) = drill["units"]
        assert (unit["level"], unit["failed"]) == ("boot", "assert")
        assert wrong[drill["job"]][1] in drill["message"]
        assert drill["recovery_time_seconds"]["boot"] > 1
    told = [json.loads(each.body) for each in listener.heard]
    assert [each["title"].split(": ")[1] for each in told] == [
        f"drill {job} failed" for job in wrong
    ]
    assert "no rows" in told[0]["message"]
    run = next(one["run"] for one in done.events if one.get("job") == "fails")
    assert "assert failed: sh -c echo no rows" in jobs("log", run).text


def test_nothing_to_drill_is_an_error(voltar: Voltar) -> None:
    assert "no snapshot" in voltar("drill", "volume:nope", code=1).err
    assert "say a job or a source" in voltar("drill", code=2).err
    assert "cannot be written" in voltar("drill", "--all", "--junit", "/nowhere/x", code=2).err

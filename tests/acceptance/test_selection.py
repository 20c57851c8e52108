"""What configured jobs choose, what labels do, what `plan` shows and what `coverage` finds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Voltar
from tests.acceptance.files import fill
from tests.acceptance.test_jobs import configured
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch
from tests.testbed.seed import volume_at

SLEEP = ("sleep", "1000")
COMPOSE = "com.docker.compose.project"
STARTED = "{{.State.Running}} {{.State.StartedAt}}"


class Projects:
    """Makes things of compose projects, as compose labels them."""

    def __init__(self, scratch: Scratch, image: str) -> None:
        self.scratch, self.image = scratch, image
        self.shop, self.blog = scratch.name("shop"), scratch.name("blog")

    def volume(self, project: str | None, *labels: str) -> str:
        name = self.scratch.volume(*_labels(project, labels))
        fill(self.scratch.engine.volume_directory(name), {"file": name.encode()})
        return name

    def container(
        self, project: str | None, *mounts: str | Path, labels: tuple[str, ...] = ()
    ) -> str:
        options = [
            word for number, each in enumerate(mounts) for word in ("-v", f"{each}:/m{number}")
        ]
        return self.scratch.running(
            self.image,
            *SLEEP,
            options=[*options, *_labels(project, labels), "--stop-signal", "KILL"],
        )


def _labels(project: str | None, labels: tuple[str, ...]) -> list[str]:
    every = [*labels, *([f"{COMPOSE}={project}"] if project else [])]
    return [word for each in every for word in ("--label", each)]


@pytest.fixture
def projects(scratch: Scratch, image: str) -> Projects:
    """Things of compose projects."""
    return Projects(scratch, image)


def saved(voltar: Voltar, job: str, code: int = 0) -> tuple[set[str], dict[str, str]]:
    """Run a job: what was saved, and what failed with which message."""
    done = voltar("--json", "run", job, code=code)
    failed = {e["source"]: e["message"] for e in done.events if e["type"] == "failed"}
    return {e["source"] for e in done.events if e["type"] == "snapshot"}, failed


def names(*found: str | Path) -> str:
    """A list of the file."""
    return json.dumps([str(each) for each in found])


def test_a_project_is_captured_with_what_is_left_out_and_why(
    voltar: Voltar, projects: Projects, tmp_path: Path
) -> None:
    fill(tmp_path, {"site/a": b"1", "media/films/b": b"2"})
    data, cache = projects.volume(projects.shop), projects.volume(projects.shop, "voltar.exclude=1")
    projects.container(projects.shop, data, cache, tmp_path / "site", tmp_path / "media/films")
    other = projects.volume(projects.blog)
    projects.container(projects.blog, other)
    exclude = names(f"path:{tmp_path}/media")
    jobs = configured(
        voltar, f"[jobs.shop]\nprojects = {names(projects.shop)}\nexclude = {exclude}\n"
    )

    assert saved(jobs, "shop") == ({f"volume:{data}", f"path:{tmp_path}/site"}, {})

    (shown,) = jobs.ask("plan", "shop")
    left_out = {each["name"]: each["why"] for each in shown["leaves_out"]}
    assert left_out == {
        f"volume:{cache}": "its labels exclude it",
        f"path:{tmp_path}/media/films": f"the job excludes 'path:{tmp_path}/media'",
    }


def test_what_is_spelled_out_and_gone_fails_the_run_and_the_rest_is_saved(
    voltar: Voltar, projects: Projects
) -> None:
    data = projects.volume(None)
    text = f'volumes = {names(data, "gone")}\nprojects = ["left"]\npatterns = ["nothing-*"]\n'
    jobs = configured(voltar, f'[jobs.a]\n{text}\n[jobs.b]\nprojects = ["left"]\n')

    done = jobs("run", "a", code=3)

    assert "no volume 'gone' on this engine" in done.err
    assert "no compose project 'left' on this engine" in done.err
    assert "the pattern 'nothing-*' matches nothing" in done.err
    assert f"volume:{data}" in done.text
    jobs("run", "b", code=1)


def test_a_job_of_which_nothing_is_left_fails_and_says_so(
    voltar: Voltar, projects: Projects
) -> None:
    empty = projects.container(None)
    jobs = configured(voltar, f"[jobs.a]\ncontainers = {names(empty)}\n")

    assert "nothing that it chooses holds data" in jobs("run", "a", code=1).err


def test_labels_alone_make_a_backup(voltar: Voltar, projects: Projects) -> None:
    data, enabled = projects.volume(None), projects.volume(None, "voltar.enable=true")
    weekly = projects.volume(None, "voltar.job=weekly")
    projects.container(None, data, labels=("voltar.enable=true", "voltar.quiesce=pause"))
    projects.volume(None)
    jobs = configured(voltar, "[jobs.nightly]\nlabelled = true\n[jobs.weekly]\n")

    assert saved(jobs, "nightly") == ({f"volume:{data}", f"volume:{enabled}"}, {})
    assert saved(jobs, "weekly") == ({f"volume:{weekly}"}, {})


def test_a_label_that_cannot_be_obeyed_is_told_and_the_data_are_saved(
    voltar: Voltar, projects: Projects
) -> None:
    data = projects.volume(None, "voltar.enable=true", "voltar.quiese=stop")
    lost = projects.volume(None, "voltar.job=nigthly")
    jobs = configured(voltar, "[jobs.nightly]\n")

    made, failed = saved(jobs, "nightly", code=3)

    assert made == {f"volume:{data}"}
    assert "did you mean voltar.quiesce?" in failed[f"volume:{data}"]
    assert "no job 'nigthly' is configured" in failed[f"volume:{lost}"]


def test_another_project_cannot_get_into_a_job_nor_have_it_do_anything(
    voltar: Voltar, projects: Projects, bed: Engine
) -> None:
    shared = projects.volume(projects.shop)
    own_labels = ("voltar.quiesce=stop", "voltar.pre=touch /m0/by-shop")
    shop = projects.container(projects.shop, shared, labels=own_labels)
    own = projects.volume(projects.blog, "voltar.job=shop", "voltar.quiesce=stop")
    labels = (
        "voltar.quiesce=stop",
        "voltar.pre=touch /m0/by-blog",
        "voltar.post=touch /m0/by-blog",
    )
    intruder = projects.container(
        projects.blog, shared, own, labels=(*labels, "voltar.job=shop", "voltar.dump=postgres")
    )
    jobs = configured(voltar, f"[jobs.shop]\nprojects = {names(projects.shop)}\n")
    started = {each: bed.docker("inspect", "-f", STARTED, each) for each in (shop, intruder)}

    (shown,) = jobs.ask("plan", "shop", code=3)
    made, failed = saved(jobs, "shop")

    assert (made, failed) == ({f"volume:{shared}"}, {})
    assert list(shown["treats"]) == [shop]
    assert f"also used by container {intruder} of project {projects.blog}" in shown["problems"][0]
    assert bed.docker("inspect", "-f", STARTED, intruder) == started[intruder]
    assert bed.docker("inspect", "-f", STARTED, shop) != started[shop]
    inside = {each.name for each in bed.volume_directory(shared).iterdir()}
    assert inside == {"file", "by-shop"}


def test_labels_of_an_image_do_not_decide(
    voltar: Voltar, projects: Projects, scratch: Scratch, bed: Engine
) -> None:
    name = scratch.name("image")
    scratch.claim(images=[name])
    changes = ("-c", "LABEL voltar.exclude=true", "-c", "LABEL voltar.pre=false")
    made = scratch.container(projects.image, "true")
    bed.docker("commit", *changes, made, name)
    data = projects.volume(None)
    scratch.container(name, "true", options=["-v", f"{data}:/d"])
    jobs = configured(voltar, f"[jobs.a]\npatterns = {names(f'{scratch.prefix}-*')}\n")

    assert saved(jobs, "a") == ({f"volume:{data}"}, {})


def test_plan_shows_what_a_run_does_and_touches_nothing(voltar: Voltar, projects: Projects) -> None:
    data = projects.volume(None)
    db = projects.container(
        None, data, labels=("voltar.quiesce=stop", "voltar.grace=3s", "voltar.pre=echo flush now")
    )
    text = (
        f"containers = {names(db)}\nkeep = {{ last = 1 }}\n"
        'schedule = "every day at 03:00"\ntime-zone = "UTC"\n'
        'hooks = [{ when = "after", command = ["true"] }]\n'
    )
    jobs = configured(voltar, f"[jobs.nightly]\n{text}")
    before = jobs("plan", "nightly").text
    assert "for the first time" in before
    assert not (jobs.home / "state").exists()
    plain = configured(voltar, f"[jobs.nightly]\nvolumes = {names(data)}\n")
    first = plain("run", "nightly").text.split()[0]

    jobs = configured(voltar, f"[jobs.nightly]\n{text}")
    shown = jobs("plan").text
    (found,) = jobs.ask("plan")

    for line in (
        f"captures volume:{data}: ",
        f"stops {db} within 3 s, to read volume:{data}",
        f"executes before the reading, in {db}: /bin/sh -c 'echo flush now'",
        "executes after the reading, on this machine: true",
        f"keeps 0 older snapshots of volume:{data}, forgets 1: {first}",
    ):
        assert line in shown
    assert found["next"][0].endswith("T03:00:00+00:00")
    assert found["windows"][0]["quiets"] == [{"container": db, "how": "stop", "grace_s": 3}]
    assert found["retention"][f"volume:{data}"]["forgets"][0].startswith(first)
    assert len(voltar.ask("snapshots")) == 1


def test_plan_of_a_job_that_would_complain_ends_with_3(voltar: Voltar) -> None:
    jobs = configured(voltar, '[jobs.a]\nvolumes = ["gone"]\n')

    assert "no volume 'gone' on this engine" in jobs("plan", code=3).err
    jobs("plan", "b", code=2)


def covered(voltar: Voltar) -> dict[str, dict[str, Any]]:
    """Ask for the coverage, by source, of an engine that others may use as well."""
    found = voltar.ask("coverage", code=(0, 3))
    return {each["source"]: each for each in found["sources"]}


def test_coverage_tells_of_every_volume_and_bind_mount(
    voltar: Voltar, projects: Projects, scratch: Scratch, bed: Engine, tmp_path: Path
) -> None:
    (tmp_path / "bound").mkdir()
    daily, late, forgotten = (projects.volume(None) for _ in range(3))
    excluded = projects.volume(None, "voltar.exclude=true")
    name = scratch.name("image")
    scratch.claim(images=[name])
    made = scratch.container(projects.image, "true")
    bed.docker("commit", "-c", "VOLUME /of-image", made, name)
    user = scratch.container(
        name, "true", options=["-v", f"{tmp_path}/bound:/b", "-v", "/anonymous"]
    )
    anonymous = [volume_at(bed, user, place) for place in ("/anonymous", "/of-image")]
    job = (
        f'volumes = {names(daily)}\npatterns = {names(excluded)}\nschedule = "every day at 03:00"\n'
    )
    jobs = configured(voltar, f"[jobs.a]\n{job}[jobs.b]\nvolumes = {names(late)}\n")
    jobs("run", "a")

    found = covered(jobs)

    states = {source: found[source]["state"] for source in found}
    expected = {
        f"volume:{daily}": "protected",
        f"volume:{late}": "stale",
        f"volume:{excluded}": "excluded",
        **{f"volume:{each}": "forgotten" for each in (forgotten, *anonymous)},
        f"path:{tmp_path}/bound": "forgotten",
    }
    assert expected.items() <= states.items()
    assert found[f"volume:{excluded}"]["why"] == "a: its labels exclude it"
    assert found[f"volume:{late}"]["why"] == "b: there is no snapshot of it"
    assert found[f"volume:{anonymous[0]}"]["users"] == [user]


def test_coverage_believes_the_repository_and_not_what_this_machine_remembers(
    voltar: Voltar, projects: Projects
) -> None:
    data = projects.volume(None)
    jobs = configured(voltar, f"[jobs.a]\nvolumes = {names(data)}\n")
    jobs("run", "a")
    assert covered(jobs)[f"volume:{data}"]["state"] == "protected"

    voltar("forget", voltar.ask("snapshots")[0]["id"])

    assert covered(jobs)[f"volume:{data}"]["state"] == "stale"


def test_coverage_is_0_where_all_is_well_and_counts_engines_that_are_away(
    voltar: Voltar, bed: Engine, start_engine: Callable[..., Engine]
) -> None:
    engine = start_engine()
    other = f'[hosts.other]\nurl = "{engine.url}"\n'
    all_of_it = "[jobs.a]\nhost = 'other'\nall = true\n"
    jobs = configured(voltar, f"{other}{all_of_it}")
    with Scratch(engine) as scratch:
        fill(engine.volume_directory(scratch.volume()), {"a": b"1"})
        jobs("run", "a")

        assert "1 protected" in jobs("coverage").err

        away = f'[hosts.away]\nurl = "tcp://127.0.0.1:9"\n[hosts.second]\nurl = "{bed.url}"\n'
        found = configured(voltar, f"{other}{away}{all_of_it}").ask("coverage", code=3)

    assert list(found["unreached"]) == ["away"]
    assert found["reached"] == ["other", "second"]
    assert found["counts"]["protected"] == 1

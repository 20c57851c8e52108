"""What a job chooses, leaves out, touches and tells; and that projects stay apart."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.config import Hook, Job, Quiesce, When
from backup.engine import Container, Mount, Volume
from backup.errors import ConfigError, NotOnEngine
from backup.selection.resolve import Selection, Treatment, select

PROJECT = "com.docker.compose.project"


def volume(name: str, project: str | None = None, **said: str) -> Volume:
    return Volume(name=name, driver="local", labels=_labels(project, said))


def container(
    name: str, *mounts: str, project: str | None = None, running: bool = True, **said: str
) -> Container:
    """A container that mounts volumes, or paths where they begin with a slash."""
    return Container(
        id=hashlib.sha256(name.encode()).hexdigest(),
        name=name,
        running=running,
        paused=False,
        labels=_labels(project, said),
        mounts=tuple(
            Mount(
                kind="bind" if each.startswith("/") else "volume",
                source=each.removesuffix(":ro"),
                destination=f"/m{number}",
                read_only=each.endswith(":ro"),
            )
            for number, each in enumerate(mounts)
        ),
        skipped=(),
        definition={"image": {"config": None}},
    )


def _labels(project: str | None, said: dict[str, str]) -> dict[str, str]:
    found = {f"voltar.{key.replace('__', '.')}": said[key] for key in said}
    return found | ({PROJECT: project} if project else {})


def chosen(job: Job, *things: Any, name: str = "job", **others: Job) -> Selection:
    containers = [each for each in things if isinstance(each, Container)]
    volumes = [each for each in things if isinstance(each, Volume)]
    return select(name, {name: job} | others, containers, volumes)


DB, WEB = container("db", "data", "/etc/db"), container("web", "data", "cache")
DATA, CACHE, LOOSE = volume("data"), volume("cache"), volume("loose")
ENGINE = (DB, WEB, DATA, CACHE, LOOSE)


@pytest.mark.parametrize(
    ("job", "targets"),
    [
        (Job(volumes=["loose"]), ("volume:loose",)),
        (Job(containers=["db"]), ("container:db",)),
        (Job(containers=[DB.id[:12]]), ("container:db",)),
        (Job(patterns=["*a*"]), ("volume:cache", "volume:data")),
        (Job(patterns=["w?b", "loo*"]), ("container:web", "volume:loose")),
        (
            Job(all=True),
            (*("container:db", "container:web"), *("volume:cache", "volume:data", "volume:loose")),
        ),
        (Job(all=True, exclude=["*e*"]), ("container:db", "volume:data")),
        (Job(all=True, exclude=["volume:*", "web"]), ("container:db",)),
    ],
    ids=str,
)
def test_a_job_chooses(job: Job, targets: tuple[str, ...]) -> None:
    assert chosen(job, *ENGINE).targets == targets


def test_the_beginning_of_several_ids_names_nothing() -> None:
    db, web = (replace(each, id=f"{'7' * 12}{each.id}") for each in (DB, WEB))

    found = chosen(Job(containers=["7" * 12]), db, web)

    assert found.targets == ()
    assert [str(error) for _, error in found.failed] == [
        "several containers' ids begin with '777777777777': db, web"
    ]


def test_a_container_whose_id_begins_like_the_name_of_one_that_is_gone_is_not_taken_for_it() -> (
    None
):
    other = replace(WEB, id=f"db{WEB.id[2:]}")

    found = chosen(Job(containers=["db"]), other, DATA)

    assert found.targets == ()
    assert [str(error) for _, error in found.failed] == ["no container 'db' on this engine"]


def test_compose_projects_are_their_containers_and_volumes() -> None:
    shop = container("shop-db", "x", project="shop"), volume("shop_data", "shop")
    blog = container("blog-db", project="blog"), volume("blog_data", "blog")

    found = chosen(Job(projects=["shop"]), *shop, *blog)

    assert found.targets == ("container:shop-db", "volume:shop_data")


def test_labels_of_the_file_choose_by_key_or_by_value() -> None:
    one = Volume(name="one", driver="local", labels={"backup": "yes"})
    two = Volume(name="two", driver="local", labels={"backup": "no"})

    assert chosen(Job(labels=["backup"]), one, two).targets == ("volume:one", "volume:two")
    assert chosen(Job(labels=["backup=yes"]), one, two).targets == ("volume:one",)


def test_what_a_chosen_container_mounts_may_be_left_out_and_is_told_why() -> None:
    db = container("db", "data", "tmp", "/srv/media/films", "/srv/mediathek")
    job = Job(containers=["db"], exclude=["path:/srv/media"])

    found = chosen(job, db, volume("data"), volume("tmp", exclude="true"))

    assert found.targets == ("container:db",)
    assert found.excluded == (
        ("path:/srv/media/films", "the job excludes 'path:/srv/media'"),
        ("volume:tmp", "its labels exclude it"),
    )


def test_what_is_spelled_out_wins_over_a_label_and_loses_to_an_exclude() -> None:
    stubborn = volume("stubborn", exclude="true")

    assert chosen(Job(volumes=["stubborn"]), stubborn).targets == ("volume:stubborn",)
    found = chosen(Job(volumes=["stubborn"], exclude=["stub*"]), stubborn)
    assert (found.targets, found.excluded) == (
        (),
        (("volume:stubborn", "the job excludes 'stub*'"),),
    )


def test_a_volume_that_only_excluded_containers_use_is_left_out_of_all() -> None:
    found = chosen(Job(all=True, exclude=["container:web"]), *ENGINE)

    assert found.targets == ("container:db", "volume:data", "volume:loose")
    assert ("volume:cache", "only what is excluded uses it: container:web") in found.excluded


def test_a_container_of_another_project_keeps_no_volume_out() -> None:
    blog = container("blog", "data", project="blog", exclude="true")
    job = Job(all=True)

    assert chosen(job, blog, volume("data", "shop")).targets == ("volume:data",)
    assert chosen(job, blog, volume("data", "blog")).targets == ()


def test_what_is_spelled_out_and_not_there_fails() -> None:
    job = Job(volumes=["data", "gone"], containers=["nobody"], projects=["shop"])

    found = chosen(job, *ENGINE)

    assert found.targets == ("volume:data",)
    assert [(name, type(error)) for name, error in found.failed] == [
        ("container:nobody", NotOnEngine),
        ("volume:gone", NotOnEngine),
        ("project:shop", NotOnEngine),
    ]


def test_what_matches_nothing_is_told_and_a_job_that_chooses_nothing_fails() -> None:
    found = chosen(Job(patterns=["nix*"], labels=["a=b"]), *ENGINE)

    assert found.warnings == ("the pattern 'nix*' matches nothing", "nothing has the label 'a=b'")
    assert [(name, str(error)) for name, error in found.failed] == [
        ("job job", "it chooses nothing that is there")
    ]


# --- labels instead of a file


def test_what_labels_enable_goes_into_the_only_job() -> None:
    marked, refused = volume("marked", enable="true"), volume("other", enable="false")

    found = chosen(Job(), marked, refused, LOOSE)

    assert (found.targets, found.failed) == (("volume:marked",), ())


def test_of_several_jobs_the_one_that_says_so_takes_what_is_labelled() -> None:
    marked = volume("marked", enable="true")
    other = Job(volumes=["loose"])

    assert chosen(Job(labelled=True), marked, LOOSE, other=other).targets == ("volume:marked",)
    found = chosen(other, marked, LOOSE, name="other", main=Job(labelled=True))
    assert (found.targets, found.failed) == (("volume:loose",), ())


def test_what_no_job_takes_is_an_error_of_every_job_of_that_host() -> None:
    marked = volume("marked", enable="true")
    jobs = {"a": Job(volumes=["loose"]), "b": Job(volumes=["loose"]), "far": Job(host="far")}

    for name in ("a", "b"):
        (failed,) = select(name, jobs, [], [marked, LOOSE]).failed
        assert failed[0] == "volume:marked"
        assert "no job takes it" in str(failed[1])


def test_what_is_wrong_with_labels_is_told_once_if_a_job_is_for_what_is_labelled() -> None:
    marked = volume("marked", enabel="true")
    jobs = {"a": Job(volumes=["loose"]), "b": Job(volumes=["loose"], labelled=True)}

    told = {name: select(name, jobs, [], [marked, LOOSE]).failed for name in jobs}

    assert told["a"] == ()
    assert "voltar.enabel is not known" in str(told["b"][0][1])


def test_a_label_puts_a_thing_into_jobs_by_name() -> None:
    marked = volume("marked", job="b, c")
    jobs = {"a": Job(labelled=True, all=False, volumes=["loose"]), "b": Job(), "c": Job()}

    found = {name: select(name, jobs, [], [marked, LOOSE]) for name in jobs}

    assert {name: each.targets for name, each in found.items()} == {
        "a": ("volume:loose",),
        "b": ("volume:marked",),
        "c": ("volume:marked",),
    }


@pytest.mark.parametrize("jobs", [{}, {"nightly": Job(host="far")}])
def test_a_job_that_does_not_exist_on_this_host_is_told_by_the_one_for_labels(
    jobs: dict[str, Job],
) -> None:
    marked = volume("marked", job="nightly")

    found = chosen(Job(volumes=["loose"]), marked, LOOSE, name="nightly2", **jobs)

    (failed,) = found.failed
    assert failed[0] == "volume:marked"
    assert "no job 'nightly' is configured for this host; did you mean 'nightly2'?" in str(
        failed[1]
    )


def test_wrong_labels_of_what_is_chosen_fail_it_and_it_is_saved_all_the_same() -> None:
    found = chosen(Job(volumes=["data"]), volume("data", exlude="true"))

    assert found.targets == ("volume:data",)
    assert [(name, type(error)) for name, error in found.failed] == [("volume:data", ConfigError)]


# --- how containers are treated


def test_a_container_is_nearer_than_a_volume_and_a_volume_nearer_than_the_job() -> None:
    job = Job(all=True, quiesce=Quiesce.NONE, grace="1min")
    things = (
        container("a", "v", quiesce="stop", grace="5s"),
        container("b", "v"),
        container("c", "w"),
        *(volume("v", quiesce="pause"), volume("w")),
    )

    found = chosen(job, *things).treatments

    assert found == {
        "a": Treatment(quiesce=Quiesce.STOP, grace_s=5),
        "b": Treatment(quiesce=Quiesce.PAUSE, grace_s=60),
        "c": Treatment(quiesce=Quiesce.NONE, grace_s=60),
    }


def test_who_uses_a_volume_that_is_spelled_out_is_touched_and_nobody_else() -> None:
    found = chosen(Job(volumes=["data"], quiesce=Quiesce.STOP), *ENGINE, container("idle", "loose"))

    assert set(found.treatments) == {"db", "web"}
    assert {each.quiesce for each in found.treatments.values()} == {Quiesce.STOP}


@pytest.mark.parametrize("other", ["/srv", "/srv/web/images", "/srv/web"])
def test_who_uses_a_directory_above_or_below_is_touched(other: str) -> None:
    web = container("web", "/srv/web")
    neighbour, stranger = container("near", other), container("far", "/srv/website")

    found = chosen(Job(containers=["web"], quiesce=Quiesce.STOP), web, neighbour, stranger)

    assert set(found.treatments) == {"web", "near"}


def test_who_looks_after_the_engine_is_no_user_of_its_volumes() -> None:
    data = replace(DATA, mountpoint="/var/lib/docker/volumes/data/_data")
    agent, nosy = container("agent", "/var/lib/docker"), container("nosy", f"{data.mountpoint}/x")

    found = chosen(Job(volumes=["data"], quiesce=Quiesce.STOP), data, agent, nosy)

    assert set(found.treatments) == {"nosy"}


def test_who_cannot_write_is_not_told_of() -> None:
    reader = container("reader", "data:ro", project="blog")
    stopped = container("stopped", "data", project="blog", running=False)
    job = Job(containers=["shop-db"], quiesce=Quiesce.STOP)

    found = chosen(job, container("shop-db", "data", project="shop"), reader, stopped, DATA)

    assert found.warnings == ()


def test_who_is_excluded_is_not_touched_and_its_writing_is_told() -> None:
    job = Job(volumes=["data"], quiesce=Quiesce.STOP, exclude=["container:web"])

    found = chosen(job, *ENGINE)

    assert set(found.treatments) == {"db"}
    (warning,) = found.warnings
    assert "volume:data is also used by container web" in warning


SHOP = (
    container("shop-db", "shop_data", project="shop", pre="flush", quiesce="stop"),
    volume("shop_data", "shop"),
)
INTRUDER = container(
    "blog-web",
    *("shop_data", "blog_data"),
    project="blog",
    quiesce="stop",
    pre="rm -rf /",
    job="job",
    dump="postgres",
)


@pytest.mark.parametrize("job", [Job(projects=["shop"]), Job(containers=["shop-db"])], ids=str)
def test_a_container_of_another_project_that_shares_a_volume_is_not_touched(job: Job) -> None:
    blog = container("blog-web", "shop_data", project="blog", quiesce="stop", pre="rm -rf /")

    found = chosen(job, *SHOP, blog, volume("blog_data", "blog"))

    flush = Hook(when=When.BEFORE, command=["/bin/sh", "-c", "flush"], container="shop-db")
    assert found.treatments == {"shop-db": Treatment(quiesce=Quiesce.STOP, hooks=(flush,))}
    assert "volume:shop_data is also used by container blog-web of project blog" in "".join(
        found.warnings
    )


def test_nobody_gets_into_a_job_of_another_project_by_a_label() -> None:
    found = chosen(Job(projects=["shop"]), *SHOP, INTRUDER, volume("blog_data", "blog", job="job"))

    assert found.targets == ("container:shop-db", "volume:shop_data")
    assert set(found.treatments) == {"shop-db"}
    assert found.failed == ()


def test_a_volume_by_name_quiets_all_users_by_the_file_and_by_labels_its_own_project() -> None:
    job = Job(volumes=["shop_data"], quiesce=Quiesce.PAUSE)
    blog = container("blog-web", "shop_data", project="blog", quiesce="none", pre="rm -rf /")

    found = chosen(job, *SHOP, blog).treatments

    assert found["blog-web"] == Treatment(quiesce=Quiesce.PAUSE)
    assert found["shop-db"].quiesce is Quiesce.STOP
    assert len(found["shop-db"].hooks) == 1


# --- whatever there is

PROJECTS = st.sampled_from(["shop", "blog", None])
NAMES = ["a", "b", "c", "d"]
SAID = st.dictionaries(
    st.sampled_from(["enable", "exclude", "job", "quiesce", "pre", "post", "dump", "grace", "odd"]),
    st.sampled_from(["true", "false", "job", "other", "stop", "pause", "none", "1h", "postgres"]),
    max_size=4,
)
MOUNTS = st.lists(
    st.sampled_from([f"v-{each}" for each in NAMES] + ["/srv", "/srv/x"]), unique=True
)
CONTAINERS = st.lists(
    st.builds(
        lambda name, mounts, project, said: container(name, *mounts, project=project, **said),
        *(st.sampled_from(NAMES), MOUNTS, PROJECTS, SAID),
    ),
    unique_by=lambda each: each.name,
)
VOLUMES = st.builds(
    lambda kinds: [volume(f"v-{name}", project, **said) for name, (project, said) in kinds.items()],
    st.fixed_dictionaries({name: st.tuples(PROJECTS, SAID) for name in NAMES}),
)
JOBS = st.builds(
    Job,
    volumes=st.lists(st.sampled_from(["v-a", "v-b", "gone"]), max_size=2),
    containers=st.lists(st.sampled_from(["a", "b", "gone"]), max_size=2),
    projects=st.lists(st.sampled_from(["shop", "gone"]), max_size=2),
    patterns=st.lists(st.sampled_from(["*", "v-*", "c", "x*"]), max_size=1),
    labels=st.lists(st.sampled_from(["voltar.enable", "odd"]), max_size=1),
    all=st.booleans(),
    labelled=st.sampled_from([None, True, False]),
    exclude=st.lists(
        st.sampled_from(["volume:v-a", "container:b", "project:blog", "path:/srv/x", "d", "v-c"]),
        max_size=3,
    ),
    quiesce=st.sampled_from([None, *Quiesce]),
)


def silenced(found: Any, project: str) -> Any:
    """The same thing with other labels, if it is of a project."""
    if found.labels.get(PROJECT) != project:
        return found
    labels = {PROJECT: project, "voltar.exclude": "true", "voltar.quiesce": "stop", "odd": ""}
    values = {name: getattr(found, name) for name in found.__slots__}
    return type(found)(**{**values, "labels": labels})


@given(JOBS, CONTAINERS, VOLUMES)
def test_labels_of_a_project_that_a_job_does_not_name_change_nothing(
    job: Job, containers: list[Container], volumes: list[Volume]
) -> None:
    values = {name: getattr(job, name) for name in job.__struct_fields__}
    job = Job(**{**values, "projects": ["shop"]})
    others = [silenced(each, "blog") for each in containers], [silenced(e, "blog") for e in volumes]

    found = [select("job", {"job": job}, *each) for each in ((containers, volumes), others)]

    assert {**told(found[0])} == {**told(found[1])}


def told(found: Selection) -> dict[str, Any]:
    return {
        "targets": found.targets,
        "excluded": found.excluded,
        "treatments": found.treatments,
        "failed": [(name, str(error)) for name, error in found.failed],
        "warnings": found.warnings,
    }


@given(JOBS, CONTAINERS, VOLUMES)
def test_hooks_are_in_their_own_container_and_what_is_excluded_is_not_captured(
    job: Job, containers: list[Container], volumes: list[Volume]
) -> None:
    found = select("job", {"job": job}, containers, volumes)

    assert not {name for name, _ in found.excluded} & set(found.targets)
    for name, treatment in found.treatments.items():
        assert {hook.container for hook in treatment.hooks} <= {name}
    assert found.targets or found.failed or found.excluded


@given(JOBS, CONTAINERS, VOLUMES)
def test_what_a_job_spells_out_is_a_target_or_is_told(
    job: Job, containers: list[Container], volumes: list[Volume]
) -> None:
    found = select("job", {"job": job}, containers, volumes)
    told = {name for name, _ in (*found.failed, *found.excluded)} | set(found.targets)

    assert {f"volume:{name}" for name in job.volumes} <= told
    assert {f"container:{name}" for name in job.containers} <= told


@given(CONTAINERS, VOLUMES)
def test_a_job_by_labels_touches_no_container_that_has_none_of_another_project(
    containers: list[Container], volumes: list[Volume]
) -> None:
    found = select("job", {"job": Job(labelled=True)}, containers, volumes)
    captured = {name.partition(":")[2] for name in found.targets if name.startswith("container:")}
    things: list[Container | Volume] = [*containers, *volumes]
    projects = {each.labels.get(PROJECT) for each in things if _is_target(each, found)}

    for each in containers:
        if each.name in found.treatments and each.name not in captured:
            assert None in projects or each.labels.get(PROJECT) in projects


def _is_target(found: Container | Volume, selection: Selection) -> bool:
    kind = "volume" if isinstance(found, Volume) else "container"
    return f"{kind}:{found.name}" in selection.targets

"""Labels `voltar.*`: what is understood, what is refused, and what cannot be said by a label."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.config import OnError, Quiesce, When
from backup.selection.labels import Labels, of_container, of_volume, project_of


def labels(**said: str) -> dict[str, str]:
    return {f"voltar.{key.replace('__', '.').replace('_', '-')}": said[key] for key in said}


def test_a_container_says_all_that_a_job_says() -> None:
    found = of_container(
        "db",
        labels(
            job="nightly, weekly",
            quiesce="Stop",
            grace="2min",
            dump="postgres",
            pre="flush --now",
            pre__user="postgres",
            pre__directory="/var",
            pre__timeout="30s",
            pre__on_error="warn",
            post='["echo", "a b"]',
        ),
    )

    pre, post = found.hooks
    assert found.jobs == ("nightly", "weekly")
    assert (found.quiesce, found.grace_s, found.dump) == (Quiesce.STOP, 120.0, "postgres")
    assert (pre.when, pre.command, pre.container) == (
        When.BEFORE,
        ["/bin/sh", "-c", "flush --now"],
        "db",
    )
    assert (pre.user, pre.directory, pre.timeout) == ("postgres", "/var", "30s")
    assert pre.on_error is OnError.WARN
    assert (post.when, post.command, post.container) == (When.AFTER, ["echo", "a b"], "db")
    assert found.problems == ()


@pytest.mark.parametrize("spelling", ["true", "TRUE", "yes", "on", "1", "", " true "])
def test_what_is_true_may_be_spelled_in_several_ways(spelling: str) -> None:
    assert of_volume({"voltar.enable": spelling}) == Labels(enable=True)
    assert of_volume({"voltar.exclude": spelling}) == Labels(exclude=True)


@pytest.mark.parametrize("spelling", ["false", "no", "Off", "0"])
def test_not_to_be_enabled_is_to_be_excluded(spelling: str) -> None:
    assert of_volume({"voltar.enable": spelling}) == Labels(exclude=True)
    assert of_volume({"voltar.exclude": spelling}) == Labels()


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (labels(enabel="true"), "voltar.enabel is not known; did you mean voltar.enable?"),
        (
            labels(pre__usr="x", pre="y"),
            "voltar.pre.usr is not known; did you mean voltar.pre.user?",
        ),
        (labels(enable="ture"), "voltar.enable: expected true or false, got 'ture'"),
        (
            labels(quiesce="stopp"),
            "voltar.quiesce: expected none, pause or stop, got 'stopp'; did you mean 'stop'?",
        ),
        (labels(grace="99999d"), "voltar.grace: expected at most 1h, got '99999d'"),
        (labels(grace="2m"), "voltar.grace: expected a span of time, got '2m'"),
        (labels(dump="oracle"), "voltar.dump: expected postgres, mariadb or mysql, got 'oracle'"),
        (labels(pre=""), "voltar.pre: expected a command, got nothing"),
        (labels(pre="[1]"), "voltar.pre: expected a list of words, got '[1]'"),
        (labels(pre="[a"), "voltar.pre: expected a list of words in JSON, got '[a'"),
        (
            labels(pre="[" * 100_000),
            f"voltar.pre: expected a list of words in JSON, got '{'[' * 80}'",
        ),
        (
            labels(pre="x", pre__timeout="0s"),
            "voltar.pre.timeout: expected a span of some length, got '0s'",
        ),
        (
            labels(pre="x", pre__directory="data"),
            "voltar.pre.directory: expected an absolute path in the container, got 'data'",
        ),
        (
            labels(pre=r'["\ud800"]'),
            "voltar.pre: expected words of text, got what no program can be given",
        ),
        (
            labels(pre=r'["a\u0000b"]'),
            "voltar.pre: expected words of text, got what no program can be given",
        ),
        (labels(post__user="x"), "there is voltar.post.* without voltar.post"),
        (labels(job="a,,b"), "voltar.job: expected the name of a job, got 'a,,b'"),
        (
            labels(enable="true", exclude="true"),
            "it is to be backed up and to be excluded; it is not excluded",
        ),
    ],
)
def test_what_is_not_understood_is_told_and_does_not_count(
    said: dict[str, str], problem: str
) -> None:
    found = of_container("db", said)

    assert found.problems == (problem,)
    assert not found.exclude
    assert (found.quiesce, found.grace_s, found.dump, found.jobs) == (None, None, None, ())


def test_a_hook_whose_user_is_not_understood_runs_as_nobody_else() -> None:
    found = of_container("db", labels(pre="flush", pre__user=""))

    assert found.hooks == ()
    assert found.problems == ("voltar.pre.user: expected a value, got nothing",)


@pytest.mark.parametrize("label", ["pre", "post.user", "dump", "grace"])
def test_a_volume_cannot_have_anything_executed(label: str) -> None:
    found = of_volume({f"voltar.{label}": "x"})

    assert found == Labels(problems=(f"voltar.{label} is for containers, not for volumes",))


def test_labels_of_the_image_do_not_count() -> None:
    of_image = labels(pre="steal", exclude="true")

    found = of_container("db", of_image | labels(quiesce="stop"), of_image)

    assert (found.hooks, found.exclude, found.quiesce) == ((), False, Quiesce.STOP)
    assert found.notes == ("labels of its image do not count: voltar.exclude, voltar.pre",)


def test_what_voltar_puts_on_what_it_makes_is_no_label_of_the_user() -> None:
    assert of_volume({"voltar.migration": "x", "voltar.drill-run": "y"}) == Labels()


def test_the_project_of_an_image_that_compose_built_is_not_that_of_a_container() -> None:
    shop = {"com.docker.compose.project": "shop"}

    assert project_of(shop, shop) is None
    assert project_of(shop | {"com.docker.compose.container-number": "1"}, shop) == "shop"
    assert project_of(shop, {}) == "shop"


@given(
    st.dictionaries(
        st.sampled_from(
            ["enable", "exclude", "job", "quiesce", "grace", "dump", "pre", "pre.user"]
        ).map("voltar.{}".format)
        | st.text(max_size=20).map("voltar.{}".format),
        st.text(max_size=12) | st.sampled_from(["true", "stop", "1h", "[]"]),
    )
)
def test_whatever_labels_say_hooks_stay_in_their_container(said: dict[str, str]) -> None:
    found = of_container("own", said)

    assert all(hook.container == "own" and hook.command for hook in found.hooks)
    assert of_volume(said).hooks == ()

"""A first configuration: right as it stands, whatever runs on the engine."""

from backup.config.reading import examine_text
from backup.draft import Facts, draft
from backup.engine import Container, Volume


def container(name, image, project=None):
    return Container(
        id=name * 2,
        name=name,
        running=True,
        paused=False,
        labels={"com.docker.compose.project": project} if project else {},
        mounts=(),
        skipped=(),
        definition={"image": {"reference": image, "tags": [], "config": {}}, "config": {}},
    )


def drafted(*containers, **facts):
    usual = {"engine_url": None, "location": "/srv/backup", "password_file": None}
    volumes = [Volume(name="data", driver="local"), Volume(name="0" * 64, driver="local")]
    return draft(Facts(**{**usual, **facts}, containers=containers, volumes=volumes))


def config_of(text, tmp_path):
    found = examine_text(text.encode(), tmp_path / "voltar.toml")
    assert not found.mistakes
    assert [each.key for each in found.doubts] in ([], [("repositories", "main")])
    assert found.config is not None
    return found.config


GOLDEN = """\
# What voltar backs up, when, and what it keeps. After a change: voltar config check
# All keys: docs/configuration.md. Editors complete them: voltar config schema

# `voltar -r main init` makes it, if it is not there yet.
[repositories.main]
location = "/srv/backup"
# Without somebody who types it, the password comes from a file (chmod 600).
# password-file = "/etc/voltar/password"
check = "every sunday at 12:00"
prune = "every sunday at 13:00"

# All containers with what they mount, and all volumes. Today these are:
# web (nginx:1)
# compose project shop: shop-db-1 (postgres:16)
# volumes: data
[jobs.nightly]
all = true
exclude = []
schedule = "every day at 03:00"
jitter = "15min"
keep = { daily = 7, weekly = 4, monthly = 12 }
# The database's own dump, as a source of its own beside its files.
dump = "postgres"
# Nobody writes while a volume is read; stop is safer, and takes longer:
# quiesce = "pause"

# Prove every week that it can be restored:
# [jobs.nightly.drill]
# schedule = "every sunday at 15:00"

# Be told of a failure, of the next success, and of what is overdue (see apprise):
# [notify]
# urls-file = "/etc/voltar/notify"
"""


def test_a_draft_says_what_runs_and_what_is_done():
    text = drafted(container("shop-db-1", "postgres:16", "shop"), container("web", "nginx:1"))

    assert text == GOLDEN


def test_what_is_commented_out_is_right_as_well(tmp_path):
    text = drafted().replace("\n# [", "\n[").replace("\n# s", "\ns").replace("\n# u", "\nu")

    found = config_of(text, tmp_path)

    assert found.jobs["nightly"].drill is not None
    assert found.notify is not None


def test_each_kind_of_database_is_dumped_by_one_job(tmp_path):
    text = drafted(
        container("a", "mariadb:11"),
        container("b", "registry.example.org:5000/library/postgres:16"),
        container("c", "bitnami/postgresql"),
        container("d", "redis:7"),
    )

    jobs = config_of(text, tmp_path).jobs

    assert (jobs["nightly"].dump, jobs["nightly"].exclude) == ("postgres", ["container:a"])
    assert (jobs["mariadb"].dump, jobs["mariadb"].containers) == ("mariadb", ["a"])
    assert "d is Redis: with the label voltar.quiesce=pause" in text


def test_odd_names_stay_in_their_comments_and_quotes(tmp_path):
    text = drafted(
        container("a", 'evil"\n[jobs.evil]\nall = true', "pro\nject = 5"),
        location='/srv/"odd"\\',
        password_file="/x/'y'",
        engine_url="unix:///run/other.sock",
    )

    found = config_of(text, tmp_path)

    assert list(found.jobs) == ["nightly"]
    assert found.repositories["main"].location == '/srv/"odd"\\'
    assert found.repositories["main"].password_file == "/x/'y'"
    assert found.hosts["local"].url == "unix:///run/other.sock"

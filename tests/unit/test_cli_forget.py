"""forget, unforget, tag, pin and retention, by the command line, on repositories made for it."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from backup.cli.app import run
from backup.repository import Snapshot, Statistics, catalog
from tests.saved import at, plain
from transports.store import open_store

NOW = datetime.now(UTC).replace(hour=3, minute=0, second=0, microsecond=0) - timedelta(days=1)


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in ("VOLTAR_PASSWORD", "VOLTAR_PASSWORD_FILE", "VOLTAR_PASSWORD_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("VOLTAR_REPOSITORY", str(tmp_path / "repository"))


@pytest.fixture
def repository(tmp_path):
    return plain(open_store(str(tmp_path / "repository")))


def nightly(repository, count, *, source="volume:db", host="here", tags=()):
    """Commit snapshots of one night each; the newest is the first."""
    return [
        repository.commit(
            Snapshot(
                time=NOW - timedelta(days=night),
                host=host,
                source=source,
                run="00",
                tags=list(tags),
            )
        )
        for night in range(count)
    ]


@pytest.fixture
def told(capsys):
    """Run a command; return its exit code, what it printed and what it complained of."""

    def told(*words):
        code = run([str(word) for word in words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return told


@pytest.fixture
def asked(told):
    """Run a command with --json that succeeds; return what it said last."""

    def asked(*words):
        code, out, err = told("--json", *words)
        assert (code, err) == (0, "")
        try:
            return json.loads(out)
        except json.JSONDecodeError:
            return json.loads(out.splitlines()[-1])

    return asked


@pytest.fixture
def listed(asked):
    """The ids that `snapshots` shows, the newest first."""
    return lambda *words: [each["id"] for each in asked("snapshots", *words)][::-1]


def test_a_policy_forgets_what_it_does_not_keep(repository, told, listed):
    ids = nightly(repository, 5)

    code, out, err = told("forget", "--keep-last", "2")

    assert code == 0
    assert out.startswith("volume:db on here: 2 kept, forgot 3\n")
    rows = [line.split("\t") for line in out.splitlines()[2:-1]]
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("keep", ids[0][:10], "last"),
        ("keep", ids[1][:10], "last"),
        *(("forget", each[:10], "") for each in ids[2:]),
    ]
    assert f"voltar unforget {ids[2][:10]}" in err
    assert listed() == ids[:2]
    assert listed("--forgotten") == ids[2:]


def test_a_dry_run_says_the_same_and_forgets_nothing(repository, told, asked, listed):
    ids = nightly(repository, 5)

    code, out, err = told("forget", "--keep-last", "2", "--dry-run")
    summary = asked("forget", "--keep-last", "2", "-n")

    assert (code, err) == (0, "")
    assert "2 kept, would forget 3" in out
    assert summary["dry_run"]
    assert summary["forgotten"] == ids[2:]
    assert listed() == ids


def test_the_summary_has_each_decision_with_its_reasons(repository, asked):
    ids = nightly(repository, 3, tags=["nightly"])

    summary = asked("forget", "--keep-daily", "1", "--keep-within", "30h")

    assert (summary["type"], summary["dry_run"], summary["kept"]) == ("summary", False, 2)
    assert summary["forgotten"] == ids[2:]
    (group,) = summary["groups"]
    assert (group["host"], group["source"]) == ("here", "volume:db")
    assert [each["reasons"] for each in group["snapshots"]] == [
        ["daily", "within 30h"],
        ["within 30h"],
        [],
    ]
    assert group["snapshots"][0] == {
        "id": ids[0],
        "time": NOW.isoformat(),
        "host": "here",
        "source": "volume:db",
        "tags": ["nightly"],
        "pinned": False,
        "kept": True,
        "reasons": ["daily", "within 30h"],
    }


def test_every_option_of_a_policy_has_its_effect(repository, asked):
    ids = nightly(repository, 40)
    nightly(repository, 1, source="volume:web")
    nightly(repository, 1, host="there")
    only = ("--source", "db", "--from-host", "here", "--dry-run")

    def kept(*options):
        summary = asked("forget", *only, *options)
        assert len(summary["groups"]) == 1
        return summary["kept"]

    assert kept("--keep-last", 3) == 3
    assert kept("--keep-last", "unlimited") == 40
    for option in ("--keep-hourly", "--keep-daily"):
        assert kept(option, 4) == 4
    assert kept("--keep-weekly", 2) == 2
    assert kept("--keep-monthly", 1) == kept("--keep-yearly", 1) == 1
    assert kept("--keep-within", "3d") == 3
    assert kept("--keep-within-hourly", "3d") == kept("--keep-within-daily", "3d") == 3
    assert 2 <= kept("--keep-within-weekly", "2w") <= 3
    assert 2 <= kept("--keep-within-monthly", "30d") <= 3
    assert 1 <= kept("--keep-within-yearly", "3d") <= 2
    assert asked("tag", ids[7], ids[9], "--add", "a", "--add", "b")
    assert kept("--keep-tag", "a,b") == 2
    assert kept("--keep-tag", "a", "--keep-last", 1) == 3
    assert kept("--keep-tag", "") == 38
    assert asked("forget", "-n", "--keep-last", 1, "--tag", "a")["forgotten"] == [ids[9]]
    grouped = asked("forget", "-n", "--keep-last", 1, "--group-by", "none")["groups"]
    assert [(each["host"], each["source"]) for each in grouped] == [(None, None)]


def test_snapshots_are_forgotten_by_name_and_brought_back(repository, told, asked, listed):
    ids = nightly(repository, 3)

    assert asked("forget", ids[1][:10], ids[1]) == {
        "type": "summary",
        "dry_run": False,
        "forgotten": [ids[1]],
    }
    code, out, _ = told("forget", ids[1], ids[2])

    assert code == 0
    assert re.findall(r"forgotten before: (\w{10})|forgot (\w{10})", out) == [
        (ids[1][:10], ""),
        ("", ids[2][:10]),
    ]
    assert listed() == ids[:1]
    assert told("ls", ids[1])[0] == 1

    code, out, _ = told("unforget", ids[1][:8], ids[0])

    assert code == 0
    assert f"brought back {ids[1][:10]} volume:db" in out
    assert f"was not forgotten: {ids[0][:10]} volume:db" in out
    assert listed() == ids[:2]
    assert asked("unforget", *ids) == {"type": "summary", "snapshots": ids[2:]}


def test_the_last_snapshot_can_be_forgotten_by_name(repository, asked, listed):
    ids = nightly(repository, 1)

    assert asked("forget", "--dry-run", ids[0])["forgotten"] == ids
    assert listed() == ids
    assert asked("forget", ids[0])["forgotten"] == ids

    assert listed() == []


def test_forgotten_snapshots_say_until_when_they_can_be_brought_back(repository, told, asked):
    ids = nightly(repository, 2)
    long_ago = datetime.now(UTC) - timedelta(days=2)
    catalog.forget(at(long_ago, repository), ids[:1])

    (shown,) = asked("snapshots", "--forgotten")

    assert shown["forgotten"] == long_ago.isoformat()
    assert shown["back_until"] == (long_ago + timedelta(hours=23)).isoformat()
    assert "too late" in told("snapshots", "--forgotten")[1]
    code, _, err = told("unforget", ids[0])
    assert code == 1
    assert "forgotten more than 23 hours ago" in err
    assert [(each["forgotten"], each["back_until"]) for each in asked("snapshots")] == [
        (None, None)
    ]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["forget"], "nothing says what to forget"),
        (["forget", "abcd", "--keep-last", "1"], "name no snapshots with it"),
        (["forget", "abcd", "--source", "db"], "name no snapshots with it"),
        (["forget", "--source", "db"], "policy is empty"),
        (["forget", "--keep-last", "0"], "policy is empty"),
        (["forget", "--keep-last", "-1"], "--keep-last: expected a number"),
        (["forget", "--keep-daily", "many"], "--keep-daily: expected a number"),
        (["forget", "--keep-within-weekly", "1"], "--keep-within-weekly: expected a duration"),
        (["forget", "--keep-last", "1", "--group-by", "tag"], "--group-by: 'tag'"),
        (["forget", "volume:db"], "is no snapshot's id"),
        (["tag", "abcd"], "nothing is to be changed"),
        (["tag", "abcd", "--set", "a", "--add", "b"], "--set says all tags"),
        (["tag", "abcd", "--add", "a,b"], "'a,b' is no tag"),
        (["tag", "abcd", "--add", ""], "'' is no tag"),
        (["backup", "db", "--tag", "a,b"], "'a,b' is no tag"),
        (["backup", "db", "--tag", "a\udcff"], "is no tag"),
        (["retention", "simulate"], "policy is empty"),
        (["retention", "simulate", "--keep-last", "1", "--every", "0d"], "--every"),
        (["retention", "simulate", "--keep-last", "1", "--imagined", "--tag", "a"], "to choose by"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_is_a_usage_error(repository, told, words, text):
    nightly(repository, 1)

    code, out, err = told(*words)

    assert (code, out) == (2, "")
    assert text in err


def test_a_policy_that_keeps_nothing_of_a_group_is_refused(repository, told, listed):
    ids = nightly(repository, 3)
    nightly(repository, 3, source="volume:web", tags=["keep"])

    code, _, err = told("forget", "--keep-tag", "keep")

    assert code == 5
    assert "the policy keeps none of 3 snapshots of volume:db on here" in err
    assert set(ids) <= set(listed())


def test_a_pin_protects_from_policies_and_from_being_named(repository, told, asked, listed):
    ids = nightly(repository, 4)
    assert asked("pin", ids[3], "volume:db") == {
        "type": "summary",
        "what": "pinned",
        "snapshots": [ids[3], ids[0]],
    }

    for words in ([ids[3]], [ids[1], ids[3]], [ids[3], "--dry-run"]):
        code, _, err = told("forget", *words)
        assert code == 5
        assert "pinned" in err
    summary = asked("forget", "--keep-last", "2")

    assert summary["forgotten"] == [ids[2]]
    assert summary["groups"][0]["snapshots"][3]["reasons"] == ["pinned"]
    assert listed() == [ids[0], ids[1], ids[3]]
    assert [each["pinned"] for each in asked("snapshots")] == [True, False, True]

    assert "unpinned" in told("unpin", ids[3])[1]
    assert asked("forget", ids[3])["forgotten"] == [ids[3]]


def test_unpin_says_what_was_not_pinned_and_names_what_is(repository, told, asked):
    ids = nightly(repository, 3)
    (other,) = nightly(repository, 1, source="volume:other")
    assert told("pin", ids[1], ids[2], other)[0] == 0

    code, out, err = told("unpin", "volume:db")

    assert (code, out[:26]) == (0, f"was not pinned: {ids[0][:10]}")
    assert err == f"pinned of volume:db: {ids[2][:10]}, {ids[1][:10]}\n"
    assert asked("unpin", "volume:db", ids[1])["snapshots"] == [ids[1]]
    assert [each["id"] for each in asked("snapshots") if each["pinned"]] == [ids[2], other]


def test_a_damaged_snapshot_that_is_pinned_can_be_given_up(repository, told, listed, tmp_path):
    ids = nightly(repository, 3)
    told("pin", ids[1], ids[2])
    (tmp_path / "repository" / "snapshots" / ids[1]).write_bytes(b"spoilt")
    assert told("forget", ids[1])[0] == 5

    code, out, _ = told("unpin", ids[1][:10], ids[2], ids[1])

    assert code == 0
    assert out.splitlines()[:2] == [
        f"unpinned {ids[1][:10]}, which is damaged",
        f"was not pinned: {ids[1][:10]}, which is damaged",
    ]
    assert f"unpinned {ids[2][:10]} volume:db" in out
    assert told("forget", ids[1])[0] == 0
    assert told("forget", "--keep-last", "2")[0] == 0
    assert listed() == [ids[0], ids[2]]


def test_what_is_pinned_already_costs_nothing(repository, told, tmp_path):
    ids = nightly(repository, 1)
    for _ in range(3):
        assert told("pin", ids[0])[0] == 0
        assert told("tag", ids[0], "--add", "a")[0] == 0

    assert len(list((tmp_path / "repository" / "annotations").iterdir())) == 2


def test_what_was_excluded_is_shown_with_the_rules(repository, told, asked):
    snapshot_id = repository.commit(
        Snapshot(
            time=NOW,
            host="here",
            source="volume:db",
            run="00",
            excludes=["*.tmp", "--exclude-caches"],
            statistics=Statistics(excluded=6, excluded_size=32 << 20),
        )
    )

    said = "excluded by *.tmp, --exclude-caches: 6 entries, 32.0 MiB\n"
    assert told("ls", "--notes", snapshot_id)[1] == said
    assert told("ls", snapshot_id)[2] == said
    (shown,) = asked("snapshots")
    assert shown["excludes"] == ["*.tmp", "--exclude-caches"]
    assert (shown["excluded"], shown["bytes_excluded"]) == (6, 32 << 20)


def test_tags_change_and_ids_do_not(repository, told, asked, listed):
    ids = nightly(repository, 3, tags=["nightly"])

    assert asked("tag", ids[0], "--add", "b", "--add", "a", "--remove", "none")["snapshots"] == [
        {"id": ids[0], "tags": ["a", "b", "nightly"]}
    ]
    assert told("tag", ids[0], "--remove", "b", "--remove", "nightly")[1].endswith("volume:db: a\n")
    assert told("tag", ids[1], "--set", "")[1].endswith("volume:db: no tags\n")

    assert listed() == ids
    assert listed("--tag", "nightly") == [ids[2]]
    assert listed("--tag", "a", "--tag", "nightly") == [ids[0], ids[2]]
    assert listed("--tag", "a,nightly") == []
    assert listed("--tag", "") == [ids[1]]
    assert listed("volume:other", "--tag", "a") == []


def test_what_is_not_there_is_told(repository, told):
    for words in (["forget"], ["unforget"], ["pin"], ["unpin"], ["tag", "--add", "x"]):
        code, _, err = told(*words, "0123456789")
        assert (code, "0123456789" in err) == (1, True)
    assert "no snapshots to choose from" in told("forget", "--keep-last", "1")[1]
    for words, said in (([], "no snapshots yet"), (["--tag", "a"], "no snapshots with such tags"),
                        (["--forgotten"], "no forgotten snapshots")):  # fmt: skip
        assert said in told("snapshots", *words)[2]


def test_damage_keeps_a_policy_from_forgetting_and_is_forgotten_by_name(
    repository, told, listed, tmp_path
):
    ids = nightly(repository, 3)
    (tmp_path / "repository" / "snapshots" / ids[0]).write_bytes(b"damaged")

    assert told("forget", "--keep-last", "1")[0] == 4
    assert f"forgot {ids[0][:10]}, which is damaged" in told("forget", ids[0])[1]

    assert listed() == ids[1:]
    assert told("forget", "--keep-last", "1")[0] == 0


def test_a_damaged_marker_is_told_and_hides_nothing(repository, told, tmp_path):
    ids = nightly(repository, 2)
    (tmp_path / "repository" / "forgotten").mkdir()
    (tmp_path / "repository" / "forgotten" / ids[0]).write_bytes(b"damaged")

    code, out, err = told("snapshots")

    assert code == 4
    assert ids[0][:10] in out
    assert f"forgotten/{ids[0][:16]} is damaged" in err
    assert told("unforget", ids[0])[0] == 4


def test_names_from_elsewhere_drive_no_terminal(repository, told):
    evil = "evil\x1b[31m"
    ids = nightly(repository, 2, source=f"volume:{evil}", host=evil, tags=[evil])

    for words in (
        ["forget", "-n", "--keep-last", "1"],
        ["retention", "simulate", "--keep-last", "1"],
        ["snapshots"],
        ["pin", ids[0]],
        ["tag", ids[0], "--add", "b"],
        ["forget", ids[1]],
        ["unforget", ids[1]],
    ):
        code, out, err = told(*words)
        assert code == 0
        assert "\x1b" not in out + err


def test_a_simulation_continues_the_real_history(repository, told, asked, listed):
    ids = nightly(repository, 30)
    nightly(repository, 3, source="volume:web")
    policy = ("--keep-daily", "7", "--keep-monthly", "12")

    code, out, err = told("retention", "simulate", *policy)

    assert code == 0
    header, *rows = [line.split("\t") for line in out.splitlines()]
    assert header == ["history", "now", "kept", "added", "most", "left", "oldest"]
    assert [row[:2] for row in rows] == [["volume:db on here", "30"], ["volume:web on here", "3"]]
    assert "--source" in err
    (found,) = asked("retention", "simulate", *policy, "--source", "db", "--for", "1y")
    assert (found["host"], found["source"]) == ("here", "volume:db")
    assert (found["snapshots"], found["added"]) == (30, 365)
    assert 17 <= len(found["left"]) <= 19
    assert found["most"] >= len(found["left"])
    assert {each["id"] for each in found["left"]} == {None}
    assert set(ids) <= set(listed())


def test_what_is_left_is_shown_one_by_one(repository, told):
    ids = nightly(repository, 3)
    assert told("pin", ids[2])[0] == 0

    code, out, _ = told("retention", "simulate", "--keep-last", "2", "--for", "5d")

    assert code == 0
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[1][1:6] == ["3", "3", "5", "4", "3"]
    assert [row[1:] for row in rows[5:]] == [
        ["0 h", "", "last"],
        ["1 d", "", "last"],
        [rows[7][1], "there now", "pinned"],
    ]


def test_an_imagined_history_needs_no_repository(told, asked, monkeypatch):
    monkeypatch.delenv("VOLTAR_REPOSITORY")
    options = ("--imagined", "--every", "6h", "--for", "10d", "--keep-hourly", "4")

    (found,) = asked("retention", "simulate", *options)

    assert (found["snapshots"], found["kept"], found["added"], found["most"]) == (0, 0, 41, 8)
    assert len(found["left"]) == 4
    assert "an imagined history\t0\t0\t41\t8\t4" in told("retention", "simulate", *options)[1]


def test_a_simulation_of_nothing_says_what_to_do(repository, told):
    code, _, err = told("retention", "simulate", "--keep-last", "1")

    assert code == 0
    assert "--imagined needs none" in err


def test_stats_tell_that_forgotten_snapshots_keep_what_is_called_unused(repository, told, asked):
    ids = nightly(repository, 2)
    assert asked("stats")["forgotten"] == 0
    assert "forgotten" not in told("stats")[1]

    told("forget", ids[0])

    assert asked("stats")["forgotten"] == 1
    assert "forgotten      1 snapshots, which keep some of what is unused" in told("stats")[1]


def anomalous(repository, *, source="volume:db"):
    return repository.commit(
        Snapshot(
            time=NOW + timedelta(hours=1),
            host="here",
            source=source,
            run="00",
            anomalies=["files: 1000 before, 3 now"],
        )
    )


def test_a_policy_forgets_nothing_of_a_source_that_looks_like_a_loss(repository, told, listed):
    bad, ids = anomalous(repository), nightly(repository, 3)
    other = nightly(repository, 3, source="volume:web")

    code, _, err = told("forget", "--keep-last", "1")

    assert code == 3
    assert f"as {bad[:10]} is not like those before it: files: 1000 before, 3 now" in err
    assert set(listed()) == {bad, *ids, other[0]}


def test_what_is_accepted_is_forgotten_as_always(repository, told, listed):
    bad = anomalous(repository)
    nightly(repository, 3)

    told("tag", bad, "--add", "accepted")
    code, _, err = told("forget", "--keep-last", "1")

    assert (code, listed()) == (0, [bad])
    assert "not like" not in err

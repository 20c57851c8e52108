"""Units for systemd: what its own tools say of them, and whose files are touched."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import backup.systemd
from backup.config import Config, load
from backup.errors import BackupError, ConfigError, Protected
from backup.systemd import Place, Wanted, compare, manager, read, wanted, wanted_daemon, write
from backup.systemd.calendar import on_calendar
from backup.timing.sentence import next_time, parse_sentence
from tests.testbed.debian import require

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
PLACE = Place(
    command=Path("/bin/true"), config=Path("/etc/voltar/voltar.toml"), clock=BERLIN, now=NEW_YEAR
)
TEXT = """
[repositories.main]
location = "/srv/100% mine"
password-credential = "main"
check = "every sunday at 06:00"
prune = "every month on the 1st"
time-zone = "Asia/Tokyo"
[repositories.far]
location = "s3://bucket/prefix"
[jobs.nightly]
all = true
repository = "main"
schedule = "every day at 02:30"
time-zone = "Europe/Berlin"
jitter = "10min"
drill = { schedule = "every monday at 05:00" }
[jobs.by-hand]
all = true
repository = "far"
[notify]
urls = ["json://localhost/"]
[metrics]
textfile = "/var/lib/node exporter/voltar.prom"
"""


@pytest.fixture(scope="module", autouse=True)
def _tools():
    require({"systemd-analyze": "systemd"})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "voltar.toml"
    path.write_text(TEXT)
    return load(path)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """An empty directory of units."""
    (directory := tmp_path / "units").mkdir()
    return directory


def install(found: Wanted, directory: Path) -> None:
    write(compare(found, read(directory)), directory)


def analyze(*words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C", **more}
    argv = ["systemd-analyze", *words]
    return subprocess.run(argv, capture_output=True, text=True, env=environ, check=False)


def verified(directory: Path) -> str:
    """What systemd complains of in all services and timers, with their drop-ins."""
    names = [each for each in directory.iterdir() if each.suffix in (".service", ".timer")]
    done = analyze("verify", "--man=no", *names, SYSTEMD_UNIT_PATH=f"{directory}:")
    return done.stderr or ("" if done.returncode == 0 else f"exit code {done.returncode}")


def elapses(line: str, number: int, since: str) -> list[datetime]:
    """When systemd would start something, from a day on."""
    options = [f"--base-time={since} 00:00:00 UTC", f"--iterations={number}"]
    told = analyze("calendar", *options, line)
    assert told.returncode == 0, told.stderr
    values = [
        value.strip()
        for key, _, value in (each.partition(": ") for each in told.stdout.splitlines())
        if key.strip().startswith(("Next elapse", "Iter."))
    ]
    return [
        datetime.strptime(value, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
        for value in values
        if value != "never"
    ]


def due(text: str, clock: ZoneInfo, since: datetime, end: datetime) -> list[datetime]:
    """When a sentence says that something is due."""
    found, moment, sentence = [], since, parse_sentence(text)
    while (moment := next_time(sentence, moment, clock)) <= end:
        found.append(moment)
    return found


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Santiago", "Australia/Lord_Howe"])
@pytest.mark.parametrize(
    "text",
    [
        "every day at 02:30",
        "every day at 00:15 and 23:45",
        "every sunday at 02:05",
        "every 6 hours",
    ],
)
def test_systemd_starts_what_is_due_when_the_sentence_says_for_years(text: str, zone: str) -> None:
    clock = ZoneInfo(zone)
    lines = on_calendar(parse_sentence(text), clock, zone=zone, since=NEW_YEAR)

    found = [elapses(each, 500, "2026-01-01") for each in lines]

    end = min(each[-1] for each in found if len(each) == 500)
    assert end.year >= 2027
    assert due(text, clock, NEW_YEAR, end) == sorted(
        {one for each in found for one in each if one <= end}
    )


def test_the_days_and_months_of_systemd_are_those_of_the_sentence() -> None:
    text = "every 3 months on the 1st and 15th at 05:00"
    [line] = on_calendar(parse_sentence(text), BERLIN, zone="Europe/Berlin", since=NEW_YEAR)

    found = elapses(line, 40, "2026-01-01")

    assert due(text, BERLIN, NEW_YEAR, found[-1]) == found


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata"])
@pytest.mark.parametrize("text", ["every hour at :15", "every 20 minutes"])
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"], ids=["put forward", "put back"])
def test_what_is_due_each_hour_misses_none_when_clocks_change(
    text: str, zone: str, day: str
) -> None:
    clock = ZoneInfo(zone)
    [line] = on_calendar(parse_sentence(text), clock, zone=zone, since=NEW_YEAR)

    found = elapses(line, 12, day)

    assert due(text, clock, datetime.fromisoformat(f"{day}T00:00:00+00:00"), found[-1]) == found


def test_a_timer_without_a_zone_follows_the_clock_of_the_machine() -> None:
    sentence = parse_sentence("every day at 02:30")

    lines = on_calendar(sentence, BERLIN, zone=None, since=NEW_YEAR)

    assert lines[:2] == ["*-*-* 02:30:00", "2026-03-29 01:00:00 UTC"]


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("every 2 days", "UTC"),
        ("every 2 weeks on sunday", "UTC"),
        ("every 5 months", "UTC"),
        ("every hour", "Australia/Lord_Howe"),
    ],
)
def test_what_systemd_cannot_say_is_refused_with_another_way(text: str, zone: str) -> None:
    with pytest.raises(ConfigError, match="timers of systemd cannot say") as caught:
        on_calendar(parse_sentence(text), ZoneInfo(zone), zone=zone, since=NEW_YEAR)

    assert "--daemon" in str(caught.value.hint)


@pytest.mark.parametrize("kind", [wanted, wanted_daemon])
def test_systemd_has_nothing_to_complain_of(kind, config: Config, units: Path) -> None:
    install(kind(config, PLACE), units)

    assert verified(units) == ""


@pytest.mark.parametrize("where", ["voltar-job@.service", "voltar-job@nightly.service.d/x.conf"])
def test_the_complaints_of_systemd_are_seen(where: str, config: Config, units: Path) -> None:
    install(wanted(config, PLACE), units)
    with (units / where).open("a") as file:
        file.write("\n[Service]\nReadWritePath=/srv\n")

    assert "ReadWritePath" in verified(units)


@pytest.mark.parametrize("kind", [wanted, wanted_daemon])
def test_each_service_is_locked_up_well(kind, config: Config, units: Path) -> None:
    install(kind(config, PLACE), units)

    for service in units.glob("*.service"):
        done = analyze("security", "--offline=true", "--threshold=35", "--no-pager", service)
        assert done.returncode == 0, done.stdout[-300:]


def test_all_services_are_locked_up_alike() -> None:
    services = Path(backup.systemd.__file__).with_name("services").glob("*.service")
    cages = {each.read_text().partition("UMask=")[2].split("\n\n")[0].strip() for each in services}

    assert len(cages) == 1
    assert "ProtectSystem=strict" in cages.pop()


def test_a_service_gets_what_its_own_work_needs_and_no_more(config: Config) -> None:
    files = wanted(config, PLACE).files

    assert files["voltar-job@nightly.service.d/50-voltar.conf"].split("\n\n", 1)[1] == (
        '[Unit]\nRequiresMountsFor="/srv/100%% mine"\n\n[Service]\n'
        "Environment=VOLTAR_CONFIG=/etc/voltar/voltar.toml\n"
        'ReadWritePaths="-/srv/100%% mine"\n'
        "LoadCredential=main:/etc/credstore/main\n"
        'ReadWritePaths="-/var/lib/node exporter"\n'
    )
    assert files["voltar-job@by-hand.service.d/50-voltar.conf"].split("\n\n", 1)[1] == (
        "[Service]\nEnvironment=VOLTAR_CONFIG=/etc/voltar/voltar.toml\n"
        'ReadWritePaths="-/var/lib/node exporter"\n'
    )


def test_what_has_a_schedule_gets_a_timer_that_catches_up(config: Config) -> None:
    found = wanted(config, PLACE)

    assert found.enabled == (
        "voltar-job@nightly.timer",
        "voltar-drill@nightly.timer",
        "voltar-check@main.timer",
        "voltar-prune@main.timer",
        "voltar-overdue.timer",
        "voltar-recover.service",
    )
    timer = found.files["voltar-job@nightly.timer"]
    assert "\nOnCalendar=*-*-* 02:30:00 Europe/Berlin\n" in timer
    assert "\nRandomizedDelaySec=600\nPersistent=true\n" in timer
    check = found.files["voltar-check@main.timer"]
    assert "\nOnCalendar=Sun *-*-* 06:00:00 Asia/Tokyo\n" in check


def test_to_install_twice_is_to_install_once(config: Config, units: Path) -> None:
    install(wanted(config, PLACE), units)

    assert compare(wanted(config, PLACE), read(units)).is_empty


def test_what_is_configured_no_more_goes_and_nothing_else(config: Config, units: Path) -> None:
    install(wanted(config, PLACE), units)
    (drop_ins := units / "voltar-job@nightly.service.d").joinpath("mine.conf").write_text("# mine")
    (units / "voltar-job@other.timer").write_text("# somebody's")
    (units / "timers.target.wants").mkdir()
    (link := units / "timers.target.wants/voltar-job@nightly.timer").symlink_to("../x")

    plan = compare(wanted_daemon(config, PLACE), read(units))
    write(plan, units)

    assert not link.is_symlink()
    assert plan.stopped[-1] == "voltar-prune@main.timer"
    assert plan.foreign == ("voltar-job@other.timer",)
    left = sorted(str(each.relative_to(units)) for each in units.rglob("*") if each.is_file())
    assert left == [
        "voltar-job@nightly.service.d/mine.conf",
        "voltar-job@other.timer",
        "voltar-recover.service",
        "voltar-recover.service.d/50-voltar.conf",
        "voltar.service",
        "voltar.service.d/50-voltar.conf",
    ]
    assert drop_ins.is_dir()


@pytest.mark.parametrize("name", ["voltar-job@nightly.timer", "voltar-job@.service"])
def test_a_file_that_somebody_changed_is_not_replaced_and_none_is_written(
    name: str, config: Config, units: Path
) -> None:
    install(wanted(config, PLACE), units)
    changed = (units / name).read_text().replace("Description=voltar", "Description=ours")
    (units / name).write_text(changed)
    later = Place(command=Path("/bin/false"), config=PLACE.config, clock=BERLIN, now=NEW_YEAR)

    with pytest.raises(Protected, match=name):
        compare(wanted(config, later), read(units))

    plan = compare(Wanted(files={}, enabled=()), read(units))
    assert plan.foreign == (name,)
    write(plan, units)
    assert (units / name).read_text() == changed


def test_systemd_is_told_to_stop_what_goes_before_it_goes_and_to_start_what_came(
    config: Config, units: Path
) -> None:
    install(wanted(config, PLACE), units)

    plan = compare(wanted_daemon(config, PLACE), read(units))

    [stop] = manager.before(plan)
    assert stop[:2] == ("systemctl", "stop")
    assert set(stop[2:]) == set(wanted(config, PLACE).enabled) - {"voltar-recover.service"}
    assert manager.after(plan) == [
        ("systemctl", "daemon-reload"),
        ("systemctl", "enable", "--now", "voltar.service"),
        ("systemctl", "enable", "voltar-recover.service"),
    ]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("sh", "-c", "echo no such unit >&2; exit 5"), "failed: no such unit"),
        (("/nonexistent/systemctl",), "failed: .*No such file"),
    ],
)
def test_what_systemd_refuses_is_told(command: tuple[str, ...], message: str) -> None:
    with pytest.raises(BackupError, match=message):
        manager.tell([("true",), command])


def test_a_directory_that_cannot_be_written_is_told(config: Config, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(BackupError, match="cannot write the units: "):
        install(wanted(config, PLACE), tmp_path / "file")

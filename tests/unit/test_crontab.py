"""Lines for cron, read by an evaluator that knows nothing of sentences."""

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from backup.config import load
from backup.crontab import Caller, Crontab, crontab, fields
from backup.timing.sentence import next_time, parse_sentence

START = datetime(2027, 11, 20, tzinfo=UTC)
CALLER = Caller(user="root", command=Path("/opt/100%/voltar"), config=Path("/etc/my voltar.toml"))


def read(expression: str) -> list[set[int] | None]:
    """Return what five fields name, None for each that names nothing."""
    return [
        None if field == "*" else {int(number) for number in field.split(",")}
        for field in expression.split()
    ]


def means(fields: list[set[int] | None], moment: datetime) -> bool:
    """Whether a line means a minute, as crontab(5) says: either kind of day, if both are named."""
    minute, hour, day, month, weekday = fields
    by_day = day is not None and moment.day in day
    by_weekday = weekday is not None and moment.isoweekday() % 7 in weekday
    return (
        (minute is None or moment.minute in minute)
        and (hour is None or moment.hour in hour)
        and (month is None or moment.month in month)
        and (by_day or by_weekday or (day is None and weekday is None))
    )


@pytest.mark.parametrize(
    "text",
    [
        "every 15 minutes",
        "every hour at :05 and :50",
        "every 6 hours at :10",
        "every day at 03:00, 15:00 and 04:30",
        "every weekday at 23:59",
        "every sunday at 00:00",
        "every week on monday and saturday at 12:00",
        "every month on the 1st and 15th at 05:00",
        "every 3 months at 05:07",
    ],
)
def test_cron_starts_what_is_due_when_the_sentence_says(text: str) -> None:
    sentence = parse_sentence(text)
    lines = [read(each) for each in fields(sentence)]
    end = START + timedelta(days=105)

    minutes = (START + timedelta(minutes=n) for n in range(1, 105 * 24 * 60))
    found = [each for each in minutes if any(means(one, each) for one in lines)]

    expected, moment = [], START
    while (moment := next_time(sentence, moment, UTC)) < end:
        expected.append(moment)
    assert found
    assert expected == found


def crontab_of(tmp_path: Path, text: str) -> Crontab:
    path = tmp_path / "voltar.toml"
    path.write_text(text)
    return crontab(load(path), CALLER, clock=ZoneInfo("Europe/Berlin"), now=START)


@pytest.mark.parametrize("text", ["every 2 weeks on monday", "every 10 seconds", "every 3 days"])
def test_what_cron_cannot_say_gets_no_line_and_is_told(text: str, tmp_path: Path) -> None:
    found = crontab_of(tmp_path, f'[jobs.a]\nall = true\nschedule = "{text}"\n')

    assert found.lines == ()
    assert found.unsaid == (f"run a, {text}: cron cannot say that; the daemon can",)


def test_a_line_is_one_command_whatever_is_in_its_paths(tmp_path: Path) -> None:
    found = crontab_of(tmp_path, '[jobs.a]\nall = true\nschedule = "every day at 03:00"\n')

    time, command = found.lines[-1].split(" root ")
    assert time == "0 3 * * *"
    assert "%" not in command.replace("\\%", "")
    assert shlex.split(command.replace("\\%", "%")) == [
        *("/opt/100%/voltar", "--config", "/etc/my voltar.toml", "--quiet", "run", "a")
    ]


def test_another_zone_comes_last_and_is_told(tmp_path: Path) -> None:
    found = crontab_of(
        tmp_path,
        '[jobs.far]\nall = true\nschedule = "every day at 03:00"\ntime-zone = "Asia/Tokyo"\n'
        '[jobs.near]\nall = true\nschedule = "every day at 04:00"\ntime-zone = "Europe/Vienna"\n'
        '[repositories.main]\nlocation = "/r"\ncheck = "every day at 05:00"\n'
        'time-zone = "Asia/Tokyo"\n',
    )

    assert [each.split(" root ")[0] for each in found.lines if "#" not in each] == [
        "0 4 * * *",
        "CRON_TZ=Asia/Tokyo",
        "0 3 * * *",
        "0 5 * * *",
    ]
    assert "Asia/Tokyo is not the zone of this machine" in found.remarks[0]

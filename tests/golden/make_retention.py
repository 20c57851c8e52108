"""Ask restic what it keeps of histories that are made up: tests/golden/retention.json.

    python -m tests.golden.make_retention /usr/bin/restic

Each history is the snapshots of one host, in a restic repository made for it; some hosts are in
time zones with a summer time, some have clocks that run ahead. `restic forget --dry-run` is then
asked for each policy. It takes some minutes, and needs to be done again only to ask a newer restic
or about other policies: the file is what tests/unit/test_retention_golden.py compares with.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

GOLDEN = Path(__file__).with_name("retention.json")
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu")
TAGS: tuple[tuple[str, ...], ...] = ((), (), ("a",), ("b",), ("a", "b"))
RULES = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
SPANS = ("within", *(f"within-{rule}" for rule in RULES[1:]))
DURATIONS = ("1h", "6h", "2d", "3d12h", "14d", "1m", "1m15d", "3m", "1y", "1y2m3d4h", "5y")


def times(chance: random.Random, now: datetime) -> Iterator[datetime]:
    """Yield the times of a history: a stretch of regular snapshots, then some at random."""
    step = chance.choice([timedelta(minutes=20), timedelta(hours=5), timedelta(days=1),
                          timedelta(days=6), timedelta(days=25), timedelta(days=200)])  # fmt: skip
    end = now - step * chance.choice([-2, 0, 0, 3])
    for number in range(chance.randrange(5, 15)):
        yield end - step * (number + chance.choice([0, 0, chance.random()]))
    summer_ends = datetime(2026, 10, 25, tzinfo=UTC)
    for _ in range(chance.randrange(8)):
        yield summer_ends + timedelta(minutes=chance.randrange(240))
    for _ in range(chance.randrange(8)):
        yield now - timedelta(seconds=chance.randrange(3 * 365 * 86400))


def histories(chance: random.Random, now: datetime, count: int) -> dict[str, list[dict[str, Any]]]:
    """Return made-up histories by host, in no order."""
    made = {}
    for number in range(count):
        zone = ZoneInfo(ZONES[number % len(ZONES)])
        moments = {time.replace(microsecond=0) for time in times(chance, now)}
        history = [
            {"time": time.astimezone(zone).isoformat(), "tags": list(chance.choice(TAGS))}
            for time in sorted(moments)
        ]
        chance.shuffle(history)
        made[f"host{number:02}"] = history
    return made


def policies(chance: random.Random, count: int) -> list[dict[str, Any]]:
    """Return made-up policies, each once; each keeps something of every history."""
    made: list[dict[str, Any]] = []
    for _ in range(count):
        policy: dict[str, Any] = {
            rule: chance.choice([1, 2, 3, 5, 10, "unlimited"])
            for rule in chance.sample(RULES, chance.randrange(0, 4))
        }
        for span in chance.sample(SPANS, chance.randrange(0, 3)):
            policy[span] = chance.choice(DURATIONS)
        if not policy:
            policy["last"] = 1
        if chance.random() < 0.3:
            policy["tag"] = chance.choice([["a"], ["a,b"], ["a", "b"], [""]])
        if policy not in made:
            made.append(policy)
    return made


class Restic:
    """A restic repository in a temporary directory."""

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._environment = os.environ | {
            "RESTIC_REPOSITORY": str(directory / "repository"),
            "RESTIC_PASSWORD": "golden",
            "RESTIC_CACHE_DIR": str(directory / "cache"),
            "GOMAXPROCS": "1",
        }
        self._source = directory / "source"
        self._source.mkdir()
        self("init")

    def __call__(self, *words: str, zone: str = "UTC") -> str:
        return subprocess.run(
            [self._program, *words],
            env=self._environment | {"TZ": zone},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout

    def save(self, host: str, zone: str, snapshot: dict[str, Any]) -> None:
        """Make a snapshot of nothing with a time of one's choice."""
        time = datetime.fromisoformat(snapshot["time"])
        wall = (time.astimezone(ZoneInfo(zone))).strftime("%Y-%m-%d %H:%M:%S")
        tags = ["--tag", ",".join(snapshot["tags"])] if snapshot["tags"] else []
        self("backup", "--quiet", "--force", "--no-scan", "--host", host, "--time", wall, *tags,
             str(self._source), zone=zone)  # fmt: skip

    def saved(self) -> dict[str, list[dict[str, Any]]]:
        """Return the snapshots as restic has them: of an hour that comes twice it takes one."""
        found: dict[str, list[dict[str, Any]]] = {}
        for each in json.loads(self("snapshots", "--json")):
            found.setdefault(each["hostname"], []).append(each)
        return dict(sorted(found.items()))

    def kept(self, policy: dict[str, Any]) -> set[str]:
        """Return the ids of what is kept."""
        words = ["forget", "--dry-run", "--json", "--group-by", "host"]
        for rule, value in policy.items():
            for one in value if isinstance(value, list) else [value]:
                words += [f"--keep-{rule}", str(one)]
        groups = json.loads(self(*words).splitlines()[0])
        return {each["id"] for group in groups for each in group["keep"]}


def places(saved: dict[str, list[dict[str, Any]]], ids: set[str]) -> dict[str, list[int]]:
    """Return where in each history these snapshots stand."""
    return {
        host: [at for at, each in enumerate(history) if each["id"] in ids]
        for host, history in saved.items()
    }


def main(program: str) -> None:
    """Make the golden file."""
    chance = random.Random(5)
    now = datetime.now(UTC).replace(microsecond=0)
    with tempfile.TemporaryDirectory() as directory:
        restic = Restic(program, Path(directory))
        for number, (host, history) in enumerate(histories(chance, now, 20).items()):
            for snapshot in history:
                restic.save(host, ZONES[number % len(ZONES)], snapshot)
        saved = restic.saved()
        now = datetime.now(UTC).replace(microsecond=0)  # what is in the future, to restic
        golden = {
            "by": restic("version").split(" compiled")[0],
            "now": now.isoformat(),
            "histories": {
                host: [{"time": each["time"], "tags": each.get("tags") or []} for each in history]
                for host, history in saved.items()
            },
            "cases": [
                {"policy": policy, "kept": places(saved, restic.kept(policy))}
                for policy in policies(chance, 40)
            ],
        }
    GOLDEN.write_text(json.dumps(golden, separators=(",", ":")))


if __name__ == "__main__":
    main(sys.argv[1])

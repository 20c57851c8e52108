"""What restic keeps of made-up histories, we keep (see make_retention.py)."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from backup.retention import Moment, Period, Policy, decide, parse_count, parse_duration

GOLDEN = json.loads(Path(__file__).with_name("retention.json").read_text())
NOW = datetime.fromisoformat(GOLDEN["now"])


def policy_of(said: dict[str, Any]) -> Policy:
    """Return the policy that restic's options of these names make."""
    return Policy(
        last=parse_count(str(said.get("last", 0)), "last"),
        counts={
            period: parse_count(str(said[period.value]), period.value)
            for period in Period
            if period.value in said
        },
        within=parse_duration(said["within"], "within") if "within" in said else None,
        within_periods={
            period: parse_duration(said[f"within-{period.value}"], period.value)
            for period in Period
            if f"within-{period.value}" in said
        },
        tags=[frozenset(filter(None, each.split(","))) for each in said.get("tag", ())],
    )


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: json.dumps(case["policy"]))
def test_of_each_history_is_kept_what_restic_keeps(case):
    policy = policy_of(case["policy"])
    found = {}

    for host, history in GOLDEN["histories"].items():
        moments = [
            Moment(str(at), datetime.fromisoformat(each["time"]), frozenset(each["tags"]))
            for at, each in enumerate(history)
        ]
        decisions = decide(moments, policy, now=NOW)
        found[host] = sorted(int(each.moment.key) for each in decisions if each.kept)

    assert found == case["kept"]


def test_the_golden_cases_are_many_and_different():
    lengths = {len(kept) for case in GOLDEN["cases"] for kept in case["kept"].values()}
    rules = {rule for case in GOLDEN["cases"] for rule in case["policy"]}

    assert sum(len(case["kept"]) for case in GOLDEN["cases"]) >= 400
    assert len(lengths) > 15
    assert rules == {"last", "tag", "within"} | {
        name for period in Period for name in (period.value, f"within-{period.value}")
    }

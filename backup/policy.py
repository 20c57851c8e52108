"""The retention policy that a configuration asks for."""

from backup.config import Keep
from backup.retention import Period, Policy, parse_duration


def policy_of(keep: Keep) -> Policy:
    """Return the policy. Raises UsageError for a span that is none."""
    within = {period: getattr(keep, f"within_{period.value}") for period in Period}
    return Policy(
        last=keep.last or 0,
        counts={period: getattr(keep, period.value) or 0 for period in Period},
        within=parse_duration(keep.within, "keep.within") if keep.within else None,
        within_periods={
            period: parse_duration(span, f"keep.within-{period.value}")
            for period, span in within.items()
            if span
        },
        tags=tuple(frozenset(each.split(",")) for each in keep.tags),
    )

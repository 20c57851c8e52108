"""The options that say which snapshots are meant and what of them is kept.

`forget` and `retention simulate` share them. A command with a parameter `choice` gets them by
`with_policy`, and what they come to as one value.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from backup.errors import UsageError
from backup.retention import Duration, Period, Policy, parse_count, parse_duration
from backup.scope import Scope

_GROUPS: Final = {"host,source", "source,host", "host", "source", "none"}
_NOUNS: Final = {
    Period.HOURLY: "hours",
    Period.DAILY: "days",
    Period.WEEKLY: "weeks",
    Period.MONTHLY: "months",
    Period.YEARLY: "years",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What the options say; `given` is whether there was any of them."""

    policy: Policy
    scope: Scope
    given: bool


def with_policy(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options; they reach it as the keyword argument `choice`."""
    signature = inspect.signature(command)
    own = [each for name, each in signature.parameters.items() if name != "choice"]
    options = list(_options())

    @functools.wraps(command)
    def wrapped(*args: Any, **given: Any) -> None:
        values = {option.name: given.pop(option.name, option.default) for option in options}
        command(*args, choice=_choice(values), **given)

    parameters = [*own, *options]
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapped


def parse_tags(texts: Sequence[str] | None) -> tuple[frozenset[str], ...]:
    """Return the lists of tags that options name; "" is a list without tags."""
    return tuple(frozenset(tag for tag in text.split(",") if tag) for text in texts or ())


def demand_tags(tags: Sequence[str]) -> None:
    """Raise UsageError for what cannot be a tag: options take several, with commas between them."""
    for tag in tags:
        if not tag or "," in tag or tag != tag.encode(errors="replace").decode():
            raise UsageError(
                f"{tag!r} is no tag: one has a letter at least, no comma, and is UTF-8"
            )


def time_text(time: datetime) -> str:
    """Return a time with its offset, as a policy sees it: days are those of that offset."""
    return time.isoformat(" ", "minutes").replace("+00:00", "Z")


def _options() -> Iterator[inspect.Parameter]:
    yield _text("keep_last", "N", "Keep the newest N snapshots, or `unlimited`.")
    for period, noun in _NOUNS.items():
        text = f"Keep the newest of each of the last N {noun} that have one."
        yield _text(f"keep_{period.value}", "N", text)
    yield _text("keep_within", "SPAN", "Keep all that are younger than that, seen from the newest.")
    for period, noun in _NOUNS.items():
        text = f"Keep the newest of each of the {noun} so far back."
        yield _text(f"keep_within_{period.value}", "SPAN", text)
    yield _texts("keep_tag", "TAG[,TAG]", "Keep what has these tags, '' for what has none.")
    yield _texts("source", "SOURCE", "Only snapshots of this source: volume:NAME.")
    yield _texts("from_host", "HOST", "Only snapshots of this host.")
    yield _texts("tag", "TAG[,TAG]", "Only snapshots with these tags, '' for those without.")
    yield _text("group_by", "WHAT", "Apply to each: host,source (as a rule), host, source, none.")


def _text(name: str, metavar: str, help_text: str) -> inspect.Parameter:
    kind = Annotated[str | None, typer.Option(metavar=metavar, help=help_text, show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _texts(name: str, metavar: str, help_text: str) -> inspect.Parameter:
    kind = Annotated[list[str] | None, typer.Option(metavar=metavar, help=help_text)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _choice(values: Mapping[str, Any]) -> Choice:
    group_by = values["group_by"] or "host,source"
    if group_by not in _GROUPS:
        raise UsageError(
            f"--group-by: {group_by!r} is nothing to group by",
            hint="host,source, host, source, none",
        )
    scope = Scope(
        sources=values["source"] or (),
        hosts=values["from_host"] or (),
        tags=parse_tags(values["tag"]),
        by_host="host" in group_by,
        by_source="source" in group_by,
    )
    return Choice(_policy(values), scope, any(each is not None for each in values.values()))


def _policy(values: Mapping[str, Any]) -> Policy:
    return Policy(
        last=_count(values, "keep_last"),
        counts={period: _count(values, f"keep_{period.value}") for period in Period},
        within=_duration(values, "keep_within"),
        within_periods={
            period: duration
            for period in Period
            if (duration := _duration(values, f"keep_within_{period.value}")) is not None
        },
        tags=parse_tags(values["keep_tag"]),
    )


def _count(values: Mapping[str, Any], name: str) -> int:
    return 0 if values[name] is None else parse_count(values[name], _spelled(name))


def _duration(values: Mapping[str, Any], name: str) -> Duration | None:
    return None if values[name] is None else parse_duration(values[name], _spelled(name))


def _spelled(name: str) -> str:
    return f"--{name.replace('_', '-')}"

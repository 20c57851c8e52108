"""What a backup leaves out because it was asked to.

Patterns have the syntax and the meaning of .gitignore files (by pathspec), anchored at the root of
the volume: what lies below an excluded directory is excluded, and no later pattern brings it back.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from backup.errors import UsageError
from backup.listing import Listed

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

CACHE_TAG = b"CACHEDIR.TAG"
CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
"""What a file of that name begins with (bford.info/cachedir)."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Rules for what to leave out; `larger_than` is in bytes and concerns files only."""

    patterns: Sequence[str] = ()
    caches: bool = False
    larger_than: int | None = None

    def __bool__(self) -> bool:
        return bool(self.patterns) or self.caches or self.larger_than is not None

    def described(self) -> list[str]:
        """Return the rules as a snapshot records them: what is no UTF-8 in them is escaped."""
        written = (pattern.encode("utf-8", "surrogateescape") for pattern in self.patterns)
        rules = [pattern.decode("utf-8", "backslashreplace") for pattern in written]
        if self.caches:
            rules.append("--exclude-caches")
        if self.larger_than is not None:
            rules.append(f"--exclude-larger-than={self.larger_than}")
        return rules


NOTHING: Final = Exclusion()


@dataclass(slots=True)
class Sieve:
    """Passes the records of one ordered listing that are not excluded, and counts the others."""

    exclusion: Exclusion
    cache_directories: Collection[bytes] = ()
    entries: int = 0
    size: int = 0
    _spec: "GitIgnoreSpec | None" = field(init=False)
    _below: bytes | None = field(init=False)

    def __post_init__(self) -> None:
        patterns = self.exclusion.patterns
        self._spec = compiled(patterns) if patterns else None
        self._below = b"" if b"" in self.cache_directories else None

    def kept(self, listed: Iterable[Listed]) -> Iterator[Listed]:
        """Yield what is not excluded; the root always is kept."""
        if not self.exclusion:
            return iter(listed)
        return (record for record in listed if not self.excludes(record))

    def excludes(self, record: Listed) -> bool:
        """Tell whether the next record of the listing is to be left out, and count it if so."""
        excluded = bool(record.path) and self._excluded(record)
        if excluded:
            self.entries += 1
            self.size += record.size if record.kind == "f" else 0
        return excluded

    def _excluded(self, record: Listed) -> bool:
        path = record.path
        if self._below is not None and path.startswith(self._below):
            cache = self._below[:-1] in self.cache_directories
            return not (cache and path == self._below + CACHE_TAG)
        larger = self.exclusion.larger_than
        if larger is not None and record.kind == "f" and record.size > larger:
            return True
        if self._spec and _matches(self._spec, record):
            self._below = path + b"/" if record.kind == "d" else None
            return True
        if path in self.cache_directories:
            self._below = path + b"/"
        return False


def _matches(spec: "GitIgnoreSpec", record: Listed) -> bool:
    name = record.path.decode("utf-8", "surrogateescape")
    return spec.match_file(f"{name}/" if record.kind == "d" else name)


def compiled(patterns: Sequence[str]) -> "GitIgnoreSpec":
    """Return patterns ready for use. Raises UsageError."""
    from pathspec import GitIgnoreSpec  # noqa: PLC0415  10 ms to load, and rarely needed

    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise UsageError(f"a pattern cannot be understood: {error}") from error

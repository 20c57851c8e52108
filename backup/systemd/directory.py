"""What is in the directory of units already, and what is to be done about it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backup.errors import BackupError, Protected
from backup.systemd.unit import DAEMON, RECOVER, Wanted, is_sealed
from transports.store import replace_file

_UNITS: Final = (DAEMON, RECOVER, "voltar-*@*.service", "voltar-overdue.service")
_PATTERNS: Final = (
    *_UNITS,
    *("voltar-*@*.timer", "voltar-overdue.timer"),
    *(f"{unit}.d/50-voltar.conf" for unit in _UNITS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done, by paths in the directory. `foreign` are left alone: others wrote or
    changed them. `stopped` are units that are to end with their files."""

    write: dict[str, str]
    same: tuple[str, ...]
    remove: tuple[str, ...]
    foreign: tuple[str, ...]
    enabled: tuple[str, ...]
    stopped: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not self.write and not self.remove

    @property
    def summary(self) -> dict[str, list[str]]:
        """What becomes of which file."""
        return {
            "written": list(self.write),
            "unchanged": list(self.same),
            "removed": list(self.remove),
            "foreign": list(self.foreign),
        }


def compare(wanted: Wanted, present: Mapping[str, str]) -> Plan:
    """Decide. Raises Protected where a file that is wanted is there, and is not ours."""
    ours = {name for name, text in present.items() if is_sealed(text)}
    taken = sorted(wanted.files.keys() & (present.keys() - ours))
    if taken:
        raise Protected(
            f"not written by voltar, or changed since, so left as it is: {', '.join(taken)}",
            hint="move it away and try again; settings of yours belong into `systemctl edit`",
        )
    same = {name for name, text in wanted.files.items() if present.get(name) == text}
    remove = sorted(ours - wanted.files.keys())
    return Plan(
        write={name: text for name, text in sorted(wanted.files.items()) if name not in same},
        same=tuple(sorted(same)),
        remove=tuple(remove),
        foreign=tuple(sorted(present.keys() - ours)),
        enabled=wanted.enabled,
        stopped=tuple(
            name for name in remove if name.endswith(".timer") or name in (DAEMON, RECOVER)
        ),
    )


def read(directory: Path) -> dict[str, str]:
    """Return the files in the directory that may be ours, by their paths in it."""
    found = [each for pattern in _PATTERNS for each in directory.glob(pattern)]
    try:
        return {
            str(each.relative_to(directory)): each.read_text(encoding="utf-8", errors="replace")
            for each in found
        }
    except OSError as error:
        raise _failed("read", error) from error


def write(plan: Plan, directory: Path) -> None:
    """Do it; a file is the former or the new one, never a part."""
    try:
        for name in plan.remove:
            (directory / name).unlink(missing_ok=True)
            if "/" in name:
                with suppress(OSError):  # others have drop-ins there
                    (directory / name).parent.rmdir()
        for name in plan.stopped:
            for wants in directory.glob("*.wants"):  # by now its links lead to nothing
                (wants / name).unlink(missing_ok=True)
        for name, text in plan.write.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            replace_file(directory / name, text.encode(), is_public=True)
    except OSError as error:
        raise _failed("write", error) from error


def _failed(what: str, error: OSError) -> BackupError:
    return BackupError(f"cannot {what} the units: {error.filename}: {error.strerror}")

"""The contestants of `peers`: which commands each runs for which work.

Encryption is on wherever there is one, compression is zstd 3 or the tool's own default, and every
password comes from the environment (bed.Bed.environment). A work that a tool does not know is not
in its `works`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from backup import __version__
from bench import programs
from bench.bed import VOLTAR, Bed
from tests.testbed.command import attempt

OURS = "voltar"
Words = Sequence[str | Path]


class Work(StrEnum):
    """What is measured, in the order in which it is done."""

    FIRST = "first"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    RESTORE = "restore"
    SINGLE = "single"
    CHECK = "check"
    READ = "read"
    PRUNE = "prune"


BACKUPS = (Work.FIRST, Work.UNCHANGED, Work.CHANGED)
RESTORES = (Work.RESTORE, Work.SINGLE)
_VOLUMES = {work: f"bench-{work}" for work in RESTORES}


@dataclass(frozen=True, slots=True)
class Piped:
    """Commands, each reading what the one before writes; run in a directory, into a file."""

    commands: Sequence[Words]
    directory: Path = Path("/")
    output: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One contestant. `home` has all that it keeps, `store` is what a backup leaves behind."""

    name: str
    version: str
    store: Path
    create: Sequence[Piped] = ()
    works: Mapping[Work, Sequence[Piped]]
    again: Sequence[Piped] = ()
    """One more backup, not measured, so that there is something to prune."""
    notes: Mapping[Work, str] = field(default_factory=dict)
    """Why a work is not there."""

    @property
    def home(self) -> Path:
        """The directory of its repository, its caches and what it restores."""
        return self.store.parent

    def target(self, work: Work) -> Path:
        """Where it restores to, in its home."""
        return self.home / work

    @property
    def volumes(self) -> Mapping[Work, str]:
        """The volumes that it makes and restores into; a peer has none."""
        return _VOLUMES if self.name == OURS else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is backed up, and the one file that comes back alone."""

    volume: str
    directory: Path
    file: Path
    newest: Work
    """The last backup before anything is restored."""


def contestants(where: Bed, subject: Subject) -> list[Tool]:
    """All of them, voltar first."""
    return [
        _voltar(where, subject),
        _restic(where, subject),
        _borg(where, subject),
        _tar(where, subject, ("zstd", "-q", "-3", "-T2"), "zst"),
        _tar(where, subject, ("gzip",), "gz"),
    ]


def _voltar(where: Bed, subject: Subject) -> Tool:
    store = where.place / "voltar/repository"
    program: list[str | Path] = [*VOLTAR, "--repository", store, "--quiet"]
    source = f"volume:{subject.volume}"
    restore = [*program, "restore", source, "--to"]
    works: dict[Work, list[Words]] = {work: [[*program, "backup", source]] for work in BACKUPS}
    works |= {
        Work.RESTORE: [[*restore, _VOLUMES[Work.RESTORE]]],
        Work.SINGLE: [[*restore, _VOLUMES[Work.SINGLE], subject.file]],
    }
    check = [*program, "check"]
    notes = {}
    if "--read-data" in _help(where, "check"):
        works |= {Work.CHECK: [check], Work.READ: [[*check, "--read-data"]]}
    else:
        works[Work.READ] = [check]
        notes[Work.CHECK] = "reads all data"
    if "--exclusive" in _help(where, "prune"):
        forget = [*program, "forget", "--keep-last", "1"]
        works[Work.PRUNE] = [forget, [*program, "prune", "--exclusive"]]
    else:
        notes[Work.PRUNE] = f"not in {__version__}"
    return Tool(
        name=OURS,
        version=f"voltar {__version__} (AES-256-GCM)",
        store=store,
        create=[Piped([(*program, "init")])],
        works={work: [Piped([words]) for words in each] for work, each in works.items()},
        again=[Piped(works[Work.UNCHANGED])],
        notes=notes,
    )


def _help(where: Bed, command: str) -> str:
    """What voltar says of a command; nothing if it has no such command."""
    asked = attempt([*VOLTAR, command, "--help"], env=where.environment | {"COLUMNS": "100"})
    return "" if asked.returncode else asked.stdout.decode()


def _restic(where: Bed, subject: Subject) -> Tool:
    program = programs.restic()
    store = where.place / "restic/repository"
    common = (program, "--quiet", "--repo", store)
    restore = (*common, "restore", f"latest:{subject.directory}", "--target")
    works: dict[Work, Words] = {
        **dict.fromkeys(BACKUPS, (*common, "backup", subject.directory)),
        Work.RESTORE: (*restore, store.parent / Work.RESTORE),
        Work.SINGLE: (*restore, store.parent / Work.SINGLE, "--include", f"/{subject.file}"),
        Work.CHECK: (*common, "check"),
        Work.READ: (*common, "check", "--read-data"),
        Work.PRUNE: (*common, "forget", "--keep-last", "1", "--prune"),
    }
    return Tool(
        name="restic",
        version=f"{programs.version(program, 'version')} (defaults)",
        store=store,
        create=[Piped([(*common, "init")])],
        works={work: [Piped([words])] for work, words in works.items()},
        again=[Piped([works[Work.UNCHANGED]])],
    )


def _borg(where: Bed, subject: Subject) -> Tool:
    program = programs.borg()
    store = where.place / "borg/repository"
    create = (program, "create", "--compression", "zstd,3")
    backups = {
        name: [Piped([(*create, f"{store}::{name}", ".")], subject.directory)]
        for name in (*BACKUPS, "again")
    }
    extract = (program, "extract", f"{store}::{subject.newest}")
    return Tool(
        name="borg",
        version=f"{programs.version(program)} (repokey-blake2, zstd,3)",
        store=store,
        create=[Piped([(program, "init", "--encryption", "repokey-blake2", store)])],
        works={work: backups[work] for work in BACKUPS}
        | {
            Work.RESTORE: [Piped([extract], store.parent / Work.RESTORE)],
            Work.SINGLE: [Piped([(*extract, subject.file)], store.parent / Work.SINGLE)],
            Work.CHECK: [Piped([(program, "check", store)])],
            Work.READ: [Piped([(program, "check", "--verify-data", store)])],
            Work.PRUNE: [
                Piped([(program, "prune", "--keep-last", "1", store)]),
                Piped([(program, "compact", store)]),
            ],
        },
        again=backups["again"],
    )


def _tar(where: Bed, subject: Subject, squeeze: Words, suffix: str) -> Tool:
    store = where.place / f"tar-{suffix}" / f"archive.tar.{suffix}"
    tar, program = programs.need("tar"), programs.need(str(squeeze[0]))
    pack = (tar, "--create", "--file=-", "--directory", subject.directory, ".")
    unpack = (tar, "--extract", "--file=-", "--directory")
    plain = (program, "-d", "-c", store)
    return Tool(
        name=f"tar | {' '.join(map(str, squeeze)).replace(' -q', '')}",
        version=programs.version(program),
        store=store,
        works={
            Work.FIRST: [Piped([pack, squeeze], output=store)],
            Work.RESTORE: [Piped([plain, (*unpack, store.parent / Work.RESTORE)])],
            Work.SINGLE: [
                Piped([plain, (*unpack, store.parent / Work.SINGLE, f"./{subject.file}")])
            ],
            Work.READ: [Piped([(program, "-t", store)])],
        },
        notes=dict.fromkeys((Work.UNCHANGED, Work.CHANGED, Work.CHECK, Work.PRUNE), "cannot"),
    )

"""Every work that voltar and its peers share, on the same data, in rounds that alternate.

A round goes through the sets of data, through the works of each, and through the tools at each
work, so whatever the machine does meanwhile befalls all alike. Each tool begins each set of each
round with a new repository and no cache of its own. The peers are given the volume's directory on
the host, which only root of the engine's machine can read; they start no container.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

from bench import data, measure, table
from bench.asked import Asked
from bench.bed import VOLTAR, Bed, bed, require_space
from bench.measure import Cost
from bench.programs import version
from bench.results import Results
from bench.tools import BACKUPS, RESTORES, Piped, Subject, Tool, Work, contestants
from tests.testbed.command import BedFailure
from tests.testbed.command import run as command

SIZE = 4000 * data.MB
FILES = 100_000
WORKS = {
    "mixed": tuple(Work),
    "incompressible": (Work.FIRST, Work.RESTORE),
    "small": (Work.FIRST, Work.UNCHANGED, Work.CHANGED, Work.RESTORE),
}
"""The sets of data, and what is done with each."""
_WHAT = {
    "mixed": "mixed (programs, libraries, text, byte code, archives; 8 % made up, of which most "
    "does not compress)",
    "incompressible": "incompressible (random bytes)",
    "small": "small (files of some hundred words, a hundred a directory)",
}
_SMALL_FILE = 2_000
"""About how many bytes each has."""
_FACTS = """\
the page cache is warm for all: data are read once before each backup, repositories were just \
written; the disk is synced before each execution
every repository is new in each round, without a cache from an earlier one, and on the disk that \
the data are on; voltar, restic and borg sync what they store to it, tar does not
the peers read and write a directory on the host and so touch no container; voltar reads and \
writes a volume through containers, starting which is part of its time
seconds are from the start of a command to its end; CPU s is user and system time of the tool's \
processes (wait4); engine CPU s is that of dockerd, containerd, shims and all in containers (/proc)
peak is the greatest sum, over the processes that a tool has at one moment, those in containers \
included, of the highest resident memory of each so far (VmHWM, every 20 ms): neither the page \
cache nor the engine is in it
stored is by how much the repository grew; caches elsewhere do not count
1 % changed: a line was put in front of every hundredth file
restore goes into an empty place, and what was restored stays until all tools are done; voltar \
reads back a listing of it and compares, as it does by default; the single file is the \
one in the middle of the list
check is what each tool does by default, for voltar with up to 1 GiB of data; \
check all data is `check --read-data` of voltar and restic, \
`check --verify-data` of borg, `zstd -t`, `gzip -t`
prune: every fifth file was removed and one more backup made (not measured); then all snapshots \
but that one are forgotten and what nothing needs is removed (restic leaves up to 5 % unused, \
borg segments with up to 10 %: their defaults)"""


@dataclass(frozen=True, slots=True)
class Round:
    """One set of data in one round, and where its costs go."""

    where: Bed
    number: int
    subject: Subject
    content: data.Content
    results: Results

    def work(self, work: Work, tools: Sequence[Tool]) -> None:
        """Let each tool do it once; those that cannot are passed over."""
        with self._prepared(work, tools):
            for tool in tools:
                if work in tool.works:
                    self._try(work, tool)

    def _try(self, work: Work, tool: Tool) -> None:
        """A failure is told, and costs no more than its own figure."""
        label = f"{self.results.data}, {work}, {tool.name}, round {self.number + 1}"
        try:
            cost = self._done(work, tool)
        except BedFailure as failure:
            self.results.failures.append(f"{label}: failed: {failure}")
            print(f"  {self.results.failures[-1]}", flush=True)
        else:
            self.results.add(work, tool, cost)
            print(f"  {label}: {cost.seconds:.2f} s", flush=True)

    @contextmanager
    def _prepared(self, work: Work, tools: Sequence[Tool]) -> Iterator[None]:
        """What the work presupposes, for all tools alike."""
        directory = self.subject.directory
        if work is Work.CHANGED:
            data.change(directory, self.number)
        if work in BACKUPS:
            data.warm(directory)
        aside = self.where.place / "aside"
        pruned = work is Work.PRUNE
        with data.without_a_fifth(directory, aside) if pruned else nullcontext():
            for tool in tools:
                if pruned and work in tool.works:
                    self._run(tool.again)
            yield

    def _done(self, work: Work, tool: Tool) -> Cost:
        if work is Work.FIRST:
            self.where.fresh(tool.home.name).mkdir()
            self._run(tool.create)
        if work in RESTORES:
            tool.target(work).mkdir()
        before = measure.size_of(tool.store)
        command(["sync"])
        cost = self.where.with_helpers(lambda: self._run(tool.works[work]))
        if work in RESTORES:
            self._see(work, tool)
        return replace(cost, stored=measure.size_of(tool.store) - before)

    def clear(self, tools: Sequence[Tool]) -> None:
        """Remove what was stored and restored: all of it here, and not before.

        ext4 shuns inodes that were removed some minutes ago, and where it finds no others, files
        are made ten times slower: whoever restores after others' files were removed pays for them.
        """
        for tool in tools:
            for volume in tool.volumes.values():
                self.where.engine.attempt("volume", "rm", volume)  # it may not have come to that
            self.where.fresh(tool.home.name)

    def _run(self, works: Sequence[Piped]) -> Cost:
        return measure.in_turn(
            [
                measure.pipeline(
                    each.commands,
                    env=self.where.environment,
                    directory=each.directory,
                    output=each.output,
                    others=self.where.in_containers,
                )
                for each in works
            ]
        )

    def _see(self, work: Work, tool: Tool) -> None:
        """See that what was to come back is there."""
        volume = tool.volumes.get(work)
        place = self.where.engine.volume_directory(volume) if volume else tool.target(work)
        found, wanted = data.look(place).files, self.content.files if work is Work.RESTORE else 1
        if found != wanted:
            raise BedFailure(f"{found} files came back, not {wanted}")


def run(asked: Asked) -> table.Report:
    """Compare; returns the tables."""
    size = asked.size or SIZE
    with bed() as where:
        require_space(where.place, 10 * size)
        sets = {
            name: _made(where, name, size, asked.files or FILES) for name in asked.chosen(WORKS)
        }
        tools: dict[str, list[Tool]] = {}
        for name, (subject, _) in sets.items():
            tools[name] = _chosen(asked, contestants(where, subject))
        found = {name: Results(name, tools[name]) for name in sets}
        _rehearse(where)
        for number in range(asked.rounds):
            for name, (subject, content) in sets.items():
                turn = Round(where, number, subject, content, found[name])
                for work in asked.up_to(WORKS[name]):
                    turn.work(work, tools[name])
                turn.clear(tools[name])
    return _report(asked, {name: content for name, (_, content) in sets.items()}, found)


def first_backup(asked: Asked) -> table.Report:
    """The most telling part of it alone."""
    return run(replace(asked, sets=("mixed",), until=Work.FIRST))


def _made(where: Bed, name: str, size: int, files: int) -> tuple[Subject, data.Content]:
    """A volume with data of that kind, and what is in it."""
    volume, directory = where.volume()
    print(f"making data: {name} …", flush=True)
    if name == "mixed":
        content = data.mixed(directory, size)
    elif name == "incompressible":
        data.incompressible(directory, size // 4)
        content = data.look(directory)
    else:
        data.small(directory, files, files * _SMALL_FILE)
        content = data.look(directory)
    newest = [work for work in WORKS[name] if work in BACKUPS][-1]
    files_there = data.files(directory)
    subject = Subject(
        volume=volume,
        directory=directory,
        file=files_there[len(files_there) // 2].relative_to(directory),
        newest=newest,
    )
    return subject, content


def _chosen(asked: Asked, tools: list[Tool]) -> list[Tool]:
    if unknown := set(asked.tools) - {tool.name for tool in tools}:
        names = ", ".join(tool.name for tool in tools)
        raise BedFailure(f"there is no {unknown.pop()}; there are {names}")
    return [tool for tool in tools if not asked.tools or tool.name in asked.tools]


def _rehearse(where: Bed) -> None:
    """Let the engine import the helper image, which it keeps."""
    volume, directory = where.volume()
    (directory / "file").write_text("content")
    program = [*VOLTAR, "--repository", str(where.fresh("rehearsal")), "--quiet"]
    command([*program, "init"], env=where.environment)
    command([*program, "backup", f"volume:{volume}"], env=where.environment)
    where.fresh("rehearsal")


def _report(
    asked: Asked, contents: dict[str, data.Content], found: dict[str, Results]
) -> table.Report:
    tools = next(iter(found.values())).tools
    facts = [
        *[f"data, {_WHAT[name]}: {content}" for name, content in contents.items()],
        ", ".join([*[tool.version for tool in tools], version("tar")]),
        *_FACTS.splitlines(),
        f"rounds: {asked.rounds}; medians, (least..greatest)",
    ]
    tables = [each for results in found.values() for each in results.tables()]
    verdicts = [each for results in found.values() for each in results.verdicts()]
    return table.Report("voltar and its peers", asked.command("peers"), facts, tables, verdicts)

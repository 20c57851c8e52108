"""The command line of the benchmarks."""

import argparse
import sys

from bench import asked, dataplane, peers, ssh
from bench.tools import Work
from tests.testbed.command import BedFailure

BENCHMARKS = {
    "dataplane": dataplane.run,
    "peers": peers.run,
    "first-backup": peers.first_backup,
    "ssh": ssh.run,
}
EVERYTHING = ("dataplane", "peers", "ssh")


def main() -> int:
    """Run what is named, or everything; print tables."""
    parser = _parser()
    options = parser.parse_args()
    for named, known in ((options.benchmark, BENCHMARKS), (options.data, peers.WORKS)):
        if unknown := set(named) - set(known):
            parser.error(f"there is no {unknown.pop()}; there are {', '.join(known)}")
    wanted = asked.Asked(
        rounds=options.rounds,
        size=options.size,
        files=options.files,
        sets=options.data,
        tools=options.tools,
        until=options.until,
    )
    for name in options.benchmark or EVERYTHING:
        report = BENCHMARKS[name](wanted)
        print(report.text(), flush=True)
        if options.markdown:
            with open(options.markdown, "a", encoding="utf-8") as file:  # noqa: PTH123  as given
                file.write(report.markdown())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("benchmark", nargs="*", help=f"{', '.join(BENCHMARKS)} (default: dataplane, peers)")
    add("--rounds", type=int, default=3, metavar="N", help="rounds (default: 3)")
    add("--size", type=asked.size, metavar="SIZE", help="bytes of data: 300M, 4G")
    add("--markdown", metavar="FILE", help="append the tables to a file as well")
    only = parser.add_argument_group("peers")
    add = only.add_argument
    add("--files", type=int, metavar="N", help="small files (default: 100,000)")
    add("--data", type=asked.words, default=(), help=f"some of {','.join(peers.WORKS)}")
    add("--tools", type=asked.words, default=(), help='some of the tools: "voltar,restic"')
    add("--until", type=Work, choices=list(Work), help="stop after this work")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BedFailure as failure:
        sys.exit(f"bench: {failure}")

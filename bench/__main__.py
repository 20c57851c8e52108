"""The command line of the benchmarks."""

import argparse
import sys

from bench import dataplane, first_backup
from bench.data import MB
from tests.testbed.command import BedFailure

WORK = {"dataplane": dataplane.run, "first-backup": first_backup.run}


def main() -> int:
    """Run what is named, or everything; print tables."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("work", nargs="*", help=", ".join(WORK))
    parser.add_argument("--size", type=int, metavar="MB", help="bytes of data, in millions")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds (default: 5)")
    parser.add_argument("--markdown", metavar="FILE", help="append the tables to a file as well")
    asked = parser.parse_args()
    if unknown := set(asked.work) - set(WORK):
        parser.error(f"there is no {unknown.pop()}; there are {', '.join(WORK)}")
    for name in asked.work or WORK:
        report = WORK[name](size=asked.size and asked.size * MB, rounds=asked.rounds)
        print(report.text(), flush=True)
        if asked.markdown:
            with open(asked.markdown, "a", encoding="utf-8") as file:  # noqa: PTH123  as given
                file.write(report.markdown())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BedFailure as failure:
        sys.exit(f"bench: {failure}")

"""Goes through instances in a process of its own, for ablations change the functions there.

python -m tests.model.work      an outcome on stdout for each job on stdin, all pickled
"""

import gc
import pickle
import sys
from contextlib import suppress

from tests.model.ablations import ABLATIONS, Ablation, patched
from tests.model.instances import BIG, EXHAUSTIVE
from tests.model.scheduler import Instance, Outcome, explore, wander

WALKS = 60
Job = tuple[str, str]


def run(job: Job) -> Outcome:
    """Do one piece of work."""
    kind, name = job
    if kind == "ablation":
        found = outcome(ABLATIONS[name].altered())
    elif kind == "all":
        found = outcome(EXHAUSTIVE[name])
    elif kind == "walks":
        found = outcome(BIG[name], WALKS)
    else:
        found = outcome(Ablation(BIG["many actors"], ABLATIONS[name].changes).altered(), WALKS)
    gc.collect()
    return found


def outcome(instance: Instance, walks: int = 0) -> Outcome:
    with patched(instance.rules):
        return wander(instance, walks, seed=1) if walks else explore(instance)


if __name__ == "__main__":
    # millions of tuples are alive at once: looking for garbage among them takes a third of the time
    gc.disable()
    with suppress(EOFError):
        while True:
            pickle.dump(run(pickle.load(sys.stdin.buffer)), sys.stdout.buffer)
            sys.stdout.flush()

"""How the sources of jobs are: when each was saved and proven, and whether that is too long ago;
and how what is done beside that is: checks, prunes and drills.

`gather` asks the history of this machine and, where they were read, the snapshots of repositories;
`judge` makes of it, without asking anybody, what `voltar status` and the metrics tell.
"""

from backup.status.chores import ChoreFacts, ChoreStatus, chores, judge_chore
from backup.status.facts import JobFacts, Proof, SourceFacts
from backup.status.gather import gather, tried_last
from backup.status.judging import JobStatus, SourceStatus, State, judge

__all__ = [
    "ChoreFacts",
    "ChoreStatus",
    "JobFacts",
    "JobStatus",
    "Proof",
    "SourceFacts",
    "SourceStatus",
    "State",
    "chores",
    "gather",
    "judge",
    "judge_chore",
    "tried_last",
]

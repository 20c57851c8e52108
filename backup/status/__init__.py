"""How the sources of jobs are: when each was saved and proven, and whether that is too long ago.

`gather` asks the history of this machine and, where they were read, the snapshots of repositories;
`judge` makes of it, without asking anybody, what `voltar status` and the metrics tell.
"""

from backup.status.facts import JobFacts, Proof, SourceFacts
from backup.status.gather import gather
from backup.status.judging import JobStatus, SourceStatus, State, judge

__all__ = [
    "JobFacts",
    "JobStatus",
    "Proof",
    "SourceFacts",
    "SourceStatus",
    "State",
    "gather",
    "judge",
]

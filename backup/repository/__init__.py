"""The repository: the only code that knows the stored format. docs/format.md is normative.

Layers, from the outside in: `catalog`, `prune`, `check`, `repair`; `repository` (open, create,
snapshots); `commit`, `writer` and `reader` (chunks to packs and back); `reading` and `tables` (what
is there); `protocol` (in which order, so that nothing is lost); `index`, `marker`, `annotation`,
`manifest`, `snapshot`, `pack`, `sealed`, `chunker`, `crypto`, `codec`, `names`. Invariant: a
snapshot exists only when everything under it exists, so the order of writing is packs, index,
snapshot.
"""

from backup.repository.check import EVERYTHING, SAMPLE_SIZE, Checked, Damage, ReadData, check
from backup.repository.manifest import Extent, Line, Member, More, Note, Stored
from backup.repository.names import SnapshotId
from backup.repository.probe import probe
from backup.repository.prune import DEFAULT_UNUSED, Pruned, prune_repository
from backup.repository.repack import MaxUnused
from backup.repository.repair import Relisted, repair_index
from backup.repository.repository import (
    SHORT_ID,
    Repository,
    create,
    open_repository,
    read_descriptor,
)
from backup.repository.snapshot import (
    ImageRecord,
    MountFacts,
    Recorded,
    Snapshot,
    Statistics,
    UserFacts,
    VolumeFacts,
)
from backup.repository.writer import Group, Pending, Writer

__all__ = [
    "DEFAULT_UNUSED",
    "EVERYTHING",
    "SAMPLE_SIZE",
    "SHORT_ID",
    "Checked",
    "Damage",
    "Extent",
    "Group",
    "ImageRecord",
    "Line",
    "MaxUnused",
    "Member",
    "More",
    "MountFacts",
    "Note",
    "Pending",
    "Pruned",
    "ReadData",
    "Recorded",
    "Relisted",
    "Repository",
    "Snapshot",
    "SnapshotId",
    "Statistics",
    "Stored",
    "UserFacts",
    "VolumeFacts",
    "Writer",
    "check",
    "create",
    "open_repository",
    "probe",
    "prune_repository",
    "read_descriptor",
    "repair_index",
]

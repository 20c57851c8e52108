"""Snapshots: small immutable records (docs/format.md, section 10)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from backup.repository.manifest import Extent
from backup.repository.names import SnapshotId
from backup.repository.record import AwareTime


class VolumeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to create the volume again; Compose needs the labels."""

    name: str
    driver: str = "local"
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    anonymous: bool = False


class MountFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How a container used the source when it was captured."""

    container: str
    destination: str
    read_only: bool = False


class UserFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A container that had the source mounted, and what it takes to make it again."""

    mount: MountFacts
    definition: dict[str, Any]


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What an image was called, and what tells it from another. Digests are "sha256:…".

    `id` is the engine's name for it, which is the same only in the same kind of image store.
    """

    reference: str
    id: str
    config: str
    diff_ids: list[str]
    platform: str
    digests: list[str] = []


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one capture; entries, or bytes where the name says size or what is stored.

    `size` is what the source holds, `read` what was read of it, `added` the plaintext of chunks
    that were new, `stored` what they took on the store. `seconds` is wall time. `unchanged` entries
    were taken over from the parent, `deleted` ones were in it and are no more. `excluded` entries,
    whose files have `excluded_size`, were left out on request; what lies below an excluded
    directory counts too. The files among the unchanged entries have `unchanged_size`. Of what was
    added, `fresh` was content of files, and took `compressed` before it was sealed.
    """

    entries: int = 0
    files: int = 0
    size: int = 0
    read: int = 0
    added: int = 0
    stored: int = 0
    seconds: float = 0.0
    unchanged: int = 0
    deleted: int = 0
    excluded: int = 0
    excluded_size: int = 0
    unchanged_size: int = 0
    fresh: int = 0
    compressed: int = 0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """When, where, which source, and the extents of its manifest.

    `time` is the engine's clock when reading began. `run` groups the snapshots of one backup.
    `notes` counts the manifest's notes: things that were not captured as they should be. `imported`
    says that the entries came from a tar file: unordered, and perhaps without their directories.
    `excludes` are the rules by which entries were left out, as they were given. `original` is of a
    copy: the id that the snapshot had in the repository in which it was made. `anomalies` say in
    what it differs from those before it as after a loss (`backup.anomaly` has the words).
    `others` were captured in the same backup and had this source mounted as well.
    """

    time: AwareTime
    host: str
    source: str
    run: str
    volume: VolumeFacts | None = None
    mount: MountFacts | None = None
    definition: dict[str, Any] | None = None
    image: ImageRecord | None = None
    parent: str | None = None
    tags: list[str] = []
    program: str = ""
    lost: list[str] = []
    notes: int = 0
    imported: bool = False
    excludes: list[str] = []
    original: str | None = None
    anomalies: list[str] = []
    others: list[UserFacts] = []
    statistics: Statistics = Statistics()
    manifest: list[Extent] = []

    @property
    def users(self) -> list[UserFacts]:
        """All containers of the backup that had it mounted."""
        if self.mount is None or self.definition is None:
            return self.others
        return [UserFacts(mount=self.mount, definition=self.definition), *self.others]

    def is_of(self, source: str) -> bool:
        """Tell whether it is of the source that somebody names; NAME may stand for volume:NAME."""
        return self.source in (source, f"volume:{source}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A snapshot with what was said of it since it was written, which never changes its record.

    The tags in `snapshot` are those that it has now. `forgotten` says since when it is hidden,
    `annotated` when something was last said of its tags or its pin.
    """

    id: SnapshotId
    snapshot: Snapshot
    forgotten: datetime | None = None
    pinned: bool = False
    annotated: datetime | None = None

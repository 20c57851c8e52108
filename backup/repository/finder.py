"""Readings in which a pack that no index lists can be read as well.

Where an index is damaged or lost, what it listed is there all the same, and every pack ends with a
table of its own. So a check can tell what is lost from what `voltar repair index` brings back.
"""

from collections.abc import Mapping

from backup.errors import RepositoryError
from backup.repository.actor import Actor
from backup.repository.index import IndexObject
from backup.repository.names import PackId
from backup.repository.reading import Reading
from backup.repository.relist import read_tables
from backup.repository.repository import Repository
from backup.repository.tables import Tables


class Finder:
    """Takes such readings of a repository that is seen afresh; each table is fetched once."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._fetched = Tables(repository.store, repository.keys, None)

    def take(self) -> Reading:
        """Look at the store anew."""
        actor = Actor(self._repository)
        return self.widened(actor.reading(), actor.sizes)

    def widened(self, reading: Reading, sizes: Mapping[PackId, int]) -> Reading:
        """Add to a reading what packs say that no index lists; `sizes` are those of all packs."""
        known = {pack: self._fetched.table(pack) for pack in sorted(reading.view.unlisted)}
        unknown = [(pack, sizes[pack]) for pack, table in known.items() if table is None]
        for pack, read in read_tables(self._repository, unknown):
            if not isinstance(read, RepositoryError):  # damaged, as the check of packs tells
                self._fetched.add(pack, IndexObject([read]))
                known[pack] = read
        for pack, table in known.items():
            if table is not None:
                reading.tables.add(pack, IndexObject([table]))
                reading.view.spare.add(pack)
        return reading

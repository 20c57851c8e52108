"""Repair: what can be made again from what is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backup.errors import RepositoryError
from backup.report import Advanced, Finished, OnEvent, Started
from backup.repository import ahead, sealed
from backup.repository.actor import condemned_lists
from backup.repository.index import IndexObject
from backup.repository.names import CONDEMNED, INDEX, PACKS, PackId, id_of, object_name
from backup.repository.pack import PackTable
from backup.repository.relist import put_tables, relist
from backup.repository.repository import Repository
from transports.errors import ObjectNotFound


@dataclass(slots=True)
class Relisted:
    """How many packs are listed now, and how many index objects are gone for it.

    `lost` are packs whose own tables cannot be read, each with what is wrong; those that an old
    index lists stay listed, and are among `packs`. `uncondemned` is the number of
    condemned lists that could not be read, and are gone.
    """

    packs: int = 0
    replaced: int = 0
    uncondemned: int = 0
    lost: dict[PackId, str] = field(default_factory=dict)


def repair_index(repository: Repository, on_event: OnEvent) -> Relisted:
    """Make all indexes anew, from nothing but the packs where these can tell what they hold.

    Backups may go on meanwhile, prunes may not. The order is that of compaction (docs/format.md,
    section 12, rule 12). Raises TransportError.
    """
    store, done = repository.store, Relisted()
    old = sorted(id_of(info.name) for info in store.list(INDEX))
    packs = [(PackId(id_of(info.name)), info.size) for info in store.list(PACKS)]
    on_event(Started("repair", "index", sum(size for _, size in packs), len(packs), unit="packs"))
    sizes = dict(packs)
    for pack, error in relist(repository, sorted(packs)):
        if error is None:
            done.packs += 1
        else:
            done.lost[pack] = str(error)
        on_event(Advanced(sizes[pack], 1))
    on_event(Finished("repair", "index"))
    rescued = _listed(repository, old, {pack: sizes[pack] for pack in done.lost})
    put_tables(repository, rescued)
    done.packs += len(rescued)
    names = (object_name(INDEX, object_id) for object_id in old)
    ahead.for_each(store.delete, names, ahead.small(store))
    done.replaced = len(old)
    for list_id in condemned_lists(store, repository.keys)[1]:
        # nobody can go by it, and so nobody deletes what it names
        store.delete(object_name(CONDEMNED, list_id))
        done.uncondemned += 1
    return done


def _listed(
    repository: Repository, indexes: Sequence[str], lost: Mapping[PackId, int]
) -> list[PackTable]:
    """Return what indexes say of packs, given with their sizes, that cannot tell it themselves.

    A pack may be damaged in its table alone, and then every chunk in it is there to be read.
    """
    found: dict[PackId, PackTable] = {}
    for object_id in indexes if lost else ():
        try:
            data = repository.store.get(object_name(INDEX, object_id))
            read = sealed.decode(repository.keys, INDEX, object_id, data, IndexObject)
        except (ObjectNotFound, RepositoryError):
            continue
        found |= {each.pack: each for each in read.tables if lost.get(each.pack) == each.size}
    return list(found.values())

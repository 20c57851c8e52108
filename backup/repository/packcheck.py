"""One pack, read from its first byte to its last."""

from dataclasses import dataclass, field

from backup.errors import IntegrityError, RepositoryError
from backup.repository.crypto import digest
from backup.repository.names import PACKS, PackId, object_name
from backup.repository.pack import PackReader, PackTable
from backup.repository.repository import Repository
from transports.errors import ObjectNotFound


@dataclass(slots=True)
class PackFaults:
    """What is wrong with a pack of `size` bytes, and the chunks (hex) that suffer."""

    pack: PackId
    size: int = 0
    texts: list[str] = field(default_factory=list)
    chunks: list[str] = field(default_factory=list)


def check_pack(repository: Repository, pack: PackId, listed: PackTable | None) -> PackFaults:
    """Read a pack, which an index says to hold what `listed` says. One that is gone is right."""
    faults = PackFaults(pack)
    try:
        data = repository.store.get(object_name(PACKS, pack))
        faults.size = len(data)
        _check(repository, data, listed, faults)
    except ObjectNotFound:
        pass  # prune has deleted it; who still needs it will miss it
    except RepositoryError as error:
        faults.texts.append(str(error))
        faults.chunks += [blob.chunk for blob in listed.blobs] if listed else []
    return faults


def _check(
    repository: Repository, data: bytes, listed: PackTable | None, faults: PackFaults
) -> None:
    right = digest(data) == faults.pack
    if not right:
        faults.texts.append("its bytes are not those that its id names")
    largest = repository.descriptor.data_chunks.maximum
    envelope = bytes.fromhex(listed.envelope) if listed else data
    reader = PackReader.of_envelope(repository.keys, faults.pack, envelope, largest)
    table = reader.table(data) if right or listed is None else listed
    if right and listed is not None and table != listed:
        faults.texts.append("an index contradicts its table")
    view = memoryview(data)
    for blob in table.blobs:
        try:
            chunk = reader.open(blob, view[blob.offset : blob.offset + blob.length])
            if len(chunk) != blob.size:
                raise IntegrityError(f"chunk {blob.chunk[:16]} has another size than it should")  # noqa: TRY301
        except IntegrityError as error:
            faults.texts.append(str(error))
            faults.chunks.append(blob.chunk)

"""Whether to compress what goes between a far helper and here, and how much.

To compress pays where the link is slower than zstd. The link is measured, with random bytes that
nothing on the way can make smaller; the rule is `packing_for`. A link of 150 MB/s and more (10
Gbit/s) would be slowed down: zstd -1 makes about twice that on one core, and halves what ordinary
data take. Below 30 MB/s there is time for zstd -3, which halves it more thoroughly. A host that is
this machine after all, seen by its kernel's boot id, has no link to save.
"""

import time

from backup.engine.fifo import FifoPlane
from backup.engine.packing import PLAIN, Packing, Zstd
from backup.engine.session import Cell

FAST = 150_000_000
SLOW = 30_000_000
_SAMPLES = (128 << 10, 4 << 20)
"""A short one first: on a slow link, what is under way cannot be called back."""


def packing_for(speed: float) -> Packing:
    """Return the form in which to send bytes over a link of this speed, in bytes a second."""
    if speed >= FAST:
        return PLAIN
    return Zstd(1) if speed >= SLOW else Zstd(3)


def measured_packing(cell: Cell, way: FifoPlane, wish: str) -> tuple[Packing, str]:
    """Return the form to use, and a few words about why. `wish` is auto, always or never."""
    if wish == "never":
        return PLAIN, "not compressed, as VOLTAR_SSH_COMPRESSION asks for"
    if wish == "auto" and cell.engine.route.near:
        return PLAIN, "on this machine, not compressed"
    speed = _speed(cell, way)
    said = f"{speed / 1e6:.{0 if speed >= 1e7 else 1}f} MB/s"
    wanted = packing_for(speed)
    if wish == "always" and wanted is PLAIN:
        wanted = Zstd(1)
    if wanted is PLAIN:
        return PLAIN, f"{said}, not compressed"
    if not _has_zstd(way):
        return PLAIN, f"{said}, not compressed: the helper has no zstd"
    return wanted, f"{said}, {wanted.name}"


def _speed(cell: Cell, way: FifoPlane) -> float:
    """Bytes a second out of the helper, from the first to the last."""
    speed = 0.0
    for size in _SAMPLES:
        speed = _sampled(cell, way, size)
        if speed < SLOW:
            break
    return speed


def _sampled(cell: Cell, way: FifoPlane, size: int) -> float:
    source = way.read([cell.image.program("head"), "-c", str(size), "/dev/urandom"])
    try:
        start = time.monotonic()
        first = 0
        got = 0
        for block in source:
            if not got:
                start, first = time.monotonic(), len(block)
            got += len(block)
            last = time.monotonic()
        return (got - first) / max(last - start, 1e-6) if got > first else float(FAST)
    finally:
        source.close()


def _has_zstd(way: FifoPlane) -> bool:
    source = way.read(["zstd", "--version"])
    try:
        for _ in source:
            pass
        return source.outcome is not None and source.outcome.status == 0
    finally:
        source.close()

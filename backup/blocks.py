"""Blocks: the one currency in which bulk bytes travel.

Blocks are an iterable of byte buffers whose sizes carry no meaning: a consumer that depends on
where one ends is wrong. A buffer is valid until the next one is asked for, so whoever keeps one
copies it.
"""

from collections.abc import Iterable
from typing import TypeAlias

Block: TypeAlias = bytes | memoryview
Blocks: TypeAlias = Iterable[Block]

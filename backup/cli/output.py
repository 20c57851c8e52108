"""Where a tar file goes: to a file whose name says how it is compressed, or to a pipe."""

import sys
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from backup.archive import Existing, Form, form_of, write_file, write_stdout
from backup.blocks import Block
from backup.errors import UsageError


class Format(Enum):
    """What an export may be."""

    TAR = "tar"
    TAR_GZ = "tar.gz"
    TAR_ZST = "tar.zst"


def write_out(
    blocks: Iterable[Block],
    output: Path | None,
    as_format: Format | None,
    existing: Existing = Existing.KEEP,
) -> Path | None:
    """Write a tar stream to where the operator said; returns the file, None for standard output.

    What cannot be written to is told before the first block is asked for.
    """
    form = Form("." + as_format.value) if as_format else None
    if output is None or str(output) == "-":
        if sys.stdout is None or sys.stdout.isatty():
            raise UsageError(
                "a tar file needs a pipe or a file to go to", hint="say -o FILE, or pipe"
            )
        write_stdout(blocks, form or Form.TAR)
        return None
    write_file(blocks, output, form or form_of(output), existing)
    return output

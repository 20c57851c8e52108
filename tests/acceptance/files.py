"""Files in a directory, to be a volume's content."""

from collections.abc import Mapping
from pathlib import Path


def fill(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write files, and the directories above them."""
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

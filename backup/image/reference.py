"""Names of images: as people write them, and in full.

app             docker.io/library/app:latest
me/app:1        docker.io/me/app:1
host:5000/app   host:5000/app:latest
"""

from typing import Final

_HUB: Final = "docker.io"
_OFFICIAL: Final = f"{_HUB}/library/"


def full(tag: str) -> str:
    """Give the whole name of a tag, with registry and tag."""
    first, slash, _ = tag.partition("/")
    if not slash:
        tag = f"{_OFFICIAL}{tag}"
    elif first != "localhost" and not any(sign in first for sign in ".:"):
        tag = f"{_HUB}/{tag}"
    return tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest"


def familiar(name: str) -> str:
    """Give a name as the docker command shows it."""
    for prefix in (_OFFICIAL, f"{_HUB}/"):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def split_tag(tag: str) -> tuple[str, str]:
    """Give repository and tag."""
    repository, colon, word = tag.rpartition(":")
    return (repository, word) if colon and "/" not in word else (tag, "latest")

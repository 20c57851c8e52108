"""Volumes, containers and images that one test uses, under names of their own, removed after it."""

import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from tests.testbed.command import BedFailure
from tests.testbed.engine import Engine

_STILL_USED_S: Final = 60.0


class Scratch:
    """Makes things on one engine and removes them on leaving the `with`.

    Names begin with `prefix`, which no other has; `claim` covers what somebody else makes.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.prefix = f"t-{secrets.token_hex(4)}"
        self._count = 0
        self._containers: list[str] = []
        self._volumes: list[str] = []
        self._images: list[str] = []

    def name(self, hint: str = "x") -> str:
        """A name that nothing else has."""
        self._count += 1
        return f"{self.prefix}-{hint}-{self._count}"

    def volume(self, *options: str, name: str | None = None) -> str:
        """Create a volume; `options` are those of `docker volume create`."""
        name = name or self.name("volume")
        self._volumes.append(name)
        return self.engine.docker("volume", "create", *options, name)

    def container(self, image: str, *command: str, options: Sequence[str | Path] = ()) -> str:
        """Create a container without starting it; returns its name."""
        name = self.name("container")
        self._containers.append(name)
        self.engine.docker("create", "--name", name, *options, image, *command)
        return name

    def running(self, image: str, *command: str, options: Sequence[str | Path] = ()) -> str:
        """Create and start a container; returns its name."""
        name = self.container(image, *command, options=options)
        self.engine.docker("start", name)
        return name

    def claim(
        self,
        *,
        containers: Sequence[str] = (),
        volumes: Sequence[str] = (),
        images: Sequence[str] = (),
    ) -> None:
        """Have these removed too, if they exist by then."""
        self._containers += containers
        self._volumes += volumes
        self._images += images

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        stays = []
        for words, names in (
            (("rm", "--force", "--volumes"), self._containers),
            (("volume", "rm", "--force"), self._volumes),
            (("rmi", "--force"), self._images),
        ):
            if names:
                stays += self._removed(words, names)
        if stays and failure is None:
            raise BedFailure(f"what a test made cannot be removed: {'; '.join(stays)}")

    def _removed(self, words: Sequence[str], names: Sequence[str]) -> list[str]:
        """Remove what is there; return why something stays.

        Helpers of a killed run end by themselves: what they use is waited for.
        """
        deadline = time.monotonic() + _STILL_USED_S
        while True:
            said = self.engine.attempt(*words, *reversed(names)).stderr.decode(errors="replace")
            stays = [line for line in said.splitlines() if "no such" not in line.lower()]
            used = any("in use" in line or "being used" in line for line in stays)
            if not used or time.monotonic() > deadline:
                return stays
            time.sleep(0.2)

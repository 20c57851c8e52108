"""The test bed itself."""

from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch


def test_a_container_with_a_volume_runs(every_engine: Engine, scratch: Scratch, image: str) -> None:
    volume = scratch.volume()
    name = scratch.running(image, "sleep", "1000", options=["-v", f"{volume}:/data"])

    every_engine.docker("exec", name, "sh", "-c", "echo kept >/data/file")

    assert (
        every_engine.docker("run", "--rm", "-v", f"{volume}:/d", image, "cat", "/d/file") == "kept"
    )

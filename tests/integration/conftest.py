"""What integration tests share: `scene(kind, other)`, two engines to send images between."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.image_scene import MakeScene, Scene
from tests.testbed.engine import Pool


@pytest.fixture
def scene(pool: Pool) -> Iterator[MakeScene]:
    """Make a scene of two kinds of engine."""
    with ExitStack() as stack:
        yield lambda one, other: Scene(pool.engine(one), pool.engine(other), stack)

"""Two engines and images that nothing else has, for the tests that send images."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from backup.engine import connect, saved
from backup.image.reading import Reading
from backup.image.transfer import Options, Sent, send
from tests.integration.test_engine_connection import relay
from tests.testbed import engine as testbed
from tests.testbed import layered
from tests.testbed.layered import Made
from tests.testbed.proxy import Proxy
from tests.testbed.scratch import Scratch

CLASSIC, CONTAINERD = "28.5-classic", "28.5-containerd"
SIZE = 200_000
DOCUMENTS_AT_MOST = 16 << 10
PARTIAL = "voltar-partial"


class Scene:
    """Two engines, and images whose layers nothing else has."""

    def __init__(self, source: testbed.Engine, target: testbed.Engine, stack: ExitStack) -> None:
        self.beds = (source, target)
        self.source, self.target = (
            stack.enter_context(connect(b.url, environ={})) for b in self.beds
        )
        self._scratches = [stack.enter_context(Scratch(bed)) for bed in self.beds]
        self.prefix = self._scratches[0].prefix
        self._stack = stack

    def layer(self, name: str, size: int = SIZE) -> bytes:
        return layered.layer(f"{self.prefix}-{name}", size)

    def tag(self, name: str) -> str:
        tag = f"{self.prefix}/{name}"
        for scratch in self._scratches:
            scratch.claim(images=[tag])
        return tag

    def made(self, name: str, layers: list[bytes], **config: object) -> Made:
        """An image on the source."""
        image = Made([self.tag(name)], layers, config or {"Env": [f"OF={self.prefix}"]})
        self.beds[0].docker("load", stdin=layered.archive([image]))
        return image

    def send(self, *images: Made, **options: object) -> list[Sent]:
        how = Options(**options)  # type: ignore[arg-type]
        names = [tag for image in images for tag in image.tags]
        return list(send(self.source, self.target, names, how))

    def proxied(self) -> Proxy:
        """A proxy before the target, through which `target` goes from now on."""
        socket = Path(self.beds[1].url.removeprefix("unix://"))
        url = self._stack.enter_context(relay(socket))
        proxy = self._stack.enter_context(Proxy(int(url.rpartition(":")[2])))
        self.target = self._stack.enter_context(
            connect(f"tcp://127.0.0.1:{proxy.port}", environ={})
        )
        return proxy

    def assert_there(self, image: Made) -> None:
        """The target has the image, and gives all of it away again."""
        for tag in image.tags:
            with saved(self.target, [tag]) as blocks:
                reading = Reading(blocks, tag)
                assert list(reading.files())
            (found,) = reading.images()
            assert found.diff_ids == tuple(image.diff_ids)
            assert found.config == image.document
            assert found.tags == (tag,)
        self.assert_nothing_under_way()

    def assert_not_there(self, image: Made) -> None:
        for tag in image.tags:
            assert self.beds[1].attempt("image", "inspect", tag).returncode
        self.assert_nothing_under_way()

    def assert_nothing_under_way(self) -> None:
        assert self.under_way() == []

    def under_way(self) -> list[str]:
        return self.beds[1].docker("images", "-q", PARTIAL).split()

    def ids(self) -> set[str]:
        """All images of the target, named or not."""
        return set(self.beds[1].docker("images", "--all", "-q", "--no-trunc").split())


MakeScene = Callable[[str, str], Scene]

"""What is in an archive of images, as types."""

from dataclasses import dataclass, field
from typing import Any

from backup.compression import Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What an image runs on; shown and parsed as "linux/arm64/v8"."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    def meets(self, wanted: "Platform") -> bool:
        """Tell whether this is what is wanted; a wanted platform without variant takes any."""
        same = (self.os, self.architecture) == (wanted.os, wanted.architecture)
        return same and wanted.variant in ("", self.variant)

    @classmethod
    def parsed(cls, text: str) -> "Platform":
        """Parse "linux/amd64". Raises ValueError."""
        parts = text.lower().split("/")
        if not 2 <= len(parts) <= 3 or not all(parts):
            raise ValueError(text)
        return cls(os=parts[0], architecture=parts[1], variant=(parts[2:] or [""])[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of an image, as its archive has it. Digests are "sha256:…".

    `name` is the member of the archive with its bytes, of which there are `size` and whose digest
    is `digest`: that of the uncompressed tar, `diff_id`, where it is not compressed. `tar_size` is
    the size of the uncompressed tar, where it passed uncompressed or was read.
    """

    diff_id: str
    digest: str
    size: int
    name: str
    tar_size: int = 0
    form: Form = Form.TAR
    media_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedImage:
    """One image for one platform. `config` and `manifest` are the bytes that their digests name.

    `manifest` is the OCI or Docker manifest, None in archives that have none (Docker 24 and older).
    """

    config: bytes
    config_digest: str
    layers: tuple[Layer, ...]
    tags: tuple[str, ...] = ()
    manifest: bytes | None = None
    manifest_digest: str = ""
    manifest_type: str = ""
    platform: Platform = field(default=Platform(os="linux", architecture=""))
    settings: dict[str, Any] = field(default_factory=dict)
    """The parsed configuration."""

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The digests of the layers' uncompressed tars, the lowest first."""
        return tuple(layer.diff_id for layer in self.layers)

    @property
    def called(self) -> str:
        """What to call it in a message."""
        return self.tags[0] if self.tags else self.config_digest[:19]

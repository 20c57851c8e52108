"""Names of images, by the rules of the docker client.

    registry.example:5000/team/app:1.2@sha256:…
    registry              path     tag  digest

What names no registry means docker.io, and a single word there means library/WORD. Compared are
full forms (`str`), shown are the short ones (`familiar`).
"""

import re
from dataclasses import dataclass, replace
from typing import Final, Self

from backup.errors import UsageError

HUB: Final = "docker.io"
_HUB_TOO: Final = ("index.docker.io", "registry-1.docker.io")
_LIBRARY: Final = "library/"
_LONGEST: Final = 255
_REGISTRY: Final = re.compile(
    r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
    r"(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
)
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH: Final = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_ID: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One image's name, in its full form. It has a tag, or a digest, or both."""

    registry: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name as a person writes it. Raises UsageError for what can be none."""
        if _ID.fullmatch(text.removeprefix("sha256:")):
            raise _malformed(text, "an id says where an image is on one engine only")
        name, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise _malformed(text, f"{digest!r} is no digest")
        slash = name.rfind("/")
        colon = name.find(":", slash + 1)
        name, tag = (name, None) if colon < 0 else (name[:colon], name[colon + 1 :])
        if tag is not None and not _TAG.fullmatch(tag):
            raise _malformed(text, f"{tag!r} is no tag")
        registry, path = _divided(name)
        if not _REGISTRY.fullmatch(registry):
            raise _malformed(text, f"{registry!r} is no host")
        _demand_path(text, path)
        if registry == HUB and "/" not in path:
            path = _LIBRARY + path
        tag = tag or (None if digest else "latest")
        return cls(registry=registry, path=path, tag=tag, digest=digest or None)

    @property
    def name(self) -> str:
        """Registry and path, as the engine wants it in requests."""
        return f"{self.registry}/{self.path}"

    @property
    def familiar(self) -> str:
        """The name as the docker client shows it."""
        short = str(self)
        if self.registry == HUB:
            short = short.removeprefix(f"{HUB}/")
            short = short.removeprefix(_LIBRARY)
        return short

    @property
    def tagged(self) -> str | None:
        """The name that an image can be given, as the docker client shows it; no digest is one."""
        return replace(self, digest=None).familiar if self.tag else None

    def within(self, registry: str, prefix: str) -> "Reference":
        """The name that the image has in another registry, below a prefix."""
        path = self.path.removeprefix(_LIBRARY) if self.registry == HUB else self.path
        return replace(self, registry=registry, path=f"{prefix}/{path}" if prefix else path)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def names_registry(text: str) -> bool:
    """Whether a name as a person writes it says where the image is."""
    return _names_host(text.partition("/")[0]) and "/" in text


def registry_and_prefix(text: str) -> tuple[str, str]:
    """Read HOST[:PORT][/PREFIX]. Raises UsageError."""
    host, _, prefix = text.strip().rstrip("/").partition("/")
    if "://" in text:
        raise _malformed(text, "it has a scheme", kind="registry")
    if not _REGISTRY.fullmatch(host):
        raise _malformed(text, f"{host!r} is no host", kind="registry")
    if not _names_host(host):
        raise _malformed(text, "a host has a dot or a port in it", kind="registry")
    if prefix:
        _demand_path(text, prefix)
    return _normal(host), prefix


def _divided(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and _names_host(first):
        return _normal(first), rest
    return HUB, name


def _names_host(first: str) -> bool:
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _normal(registry: str) -> str:
    return HUB if registry.lower() in _HUB_TOO else registry


def _demand_path(text: str, path: str) -> None:
    if not _PATH.fullmatch(path) or len(path) > _LONGEST:
        raise _malformed(text, "a path is of small letters, digits and . _ - between them")


def _malformed(text: str, why: str, *, kind: str = "image") -> UsageError:
    example = "HOST[:PORT][/PREFIX]" if kind == "registry" else "[HOST[:PORT]/]PATH[:TAG]"
    return UsageError(f"{text!r} names no {kind}: {why}", hint=f"write {example}")

"""Texts that leave this machine, without what is in URLs."""

import re
from typing import Final

_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]+@")
_PARTS: Final = re.compile(r"[^:/?&=@#,]{4,}")
_HIDDEN: Final = "***"


def scrubbed(text: str, *urls: str) -> str:
    """Return a text in which no URL has a user or password, and in which no part of `urls` is left
    but for their schemes."""
    for url in urls:
        scheme, _, rest = url.partition("://")
        parts = [part for part in _PARTS.findall(rest) if part != scheme]
        for part in sorted(parts, key=len, reverse=True):
            text = text.replace(part, _HIDDEN)
    return _USERINFO.sub(f"{_HIDDEN}@", text)

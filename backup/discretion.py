"""What is secret, and texts without it: the one place that every text passes before it leaves.

Texts come from anywhere: a hook prints its environment, a program repeats the URL it was given. So
whoever reads a secret has it `learn`ed, for as long as the process lives, and what is printed, kept
in the history or sent is `hidden` first. What a container knows is hidden in what that container's
programs say, and nowhere else: its password may be a word like "postgres", which is a name as well.

    learn(password)
    hidden(f"login with {password} failed")     # "login with *** failed"

What a program encodes, encrypts or cuts into pieces cannot be found.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, unquote, urlsplit

_HIDDEN: Final = "***"
_USERINFO: Final = re.compile(r"((?:ssh|sftp)://[^/:@\s]*:|(?<!ssh)(?<!sftp)://)[^/@\s]+@")
"""Who logs in by SSH is no secret, and belongs to the command that a hint tells to type."""

_PASSWORD: Final = re.compile(r"://[^/@:\s]*:([^/@\s]+)@")
_PARTS: Final = re.compile(r"[^:/?&=@#,]{4,}")
_RANDOM: Final = re.compile(r"(?=.*[0-9A-Z]).{8,}")
_TELLING: Final = re.compile(
    r"(?:^|_)(?:pass|passwd|pwd|pw|secrets?|tokens?|keys?|credentials?)(?:_|$)"
    r"|(?:password|passwd|passphrase|secret|token|apikey|api_key)s?(?:_|$)|(?:^|_)dbpass$",
    re.IGNORECASE,
)
_BESIDE: Final = re.compile(r"^(?:old)?pwd$|_(?:file|path|dir|directory|command|url)$", re.I)
_ANSWERS: Final = {"yes", "no", "true", "false", "on", "off"}
_WORD_BELOW: Final = 6
"""A shorter secret is hidden where it stands alone, or texts would be of stars."""

_LEAST: Final = 3
"""What is shorter is a switch, and no password."""

_known: set[str] = set()
"""Of this process. Each text that leaves it has passed here, so nobody has to hand it around."""


def learn(*secrets: str) -> None:
    """Take note of secrets; of one with several lines, each line is one."""
    for secret in secrets:
        _known.update(filter(None, (line.strip() for line in (secret, *secret.splitlines()))))


def learn_url(url: str) -> None:
    """Take note of a URL that is a secret as a whole, and of what in it looks like one."""
    _, _, rest = url.partition("://")
    learn(url, rest, *_PASSWORD.findall(url))
    beyond = url[len(_origin(url)) :]
    learn(*(part for part in _PARTS.findall(beyond) if _RANDOM.fullmatch(part)))


def _origin(url: str) -> str:
    """The scheme and host of a URL of the web, whose host is no secret; of others, the scheme."""
    if not url.startswith(("http://", "https://", "json://", "jsons://")):
        return url.partition("://")[0]
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"


def secrets_of(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the values of an environment whose names say that they are secret, and passwords in
    URLs. Pure."""
    found = {value for name, value in environ.items() if _is_secret(name, value)}
    for value in environ.values():
        found.update(_PASSWORD.findall(value))
    return frozenset(found)


def _is_secret(name: str, value: str) -> bool:
    if value.lower() in _ANSWERS or len(value) < _LEAST:
        return False
    return bool(_TELLING.search(name)) and not _BESIDE.search(name)


def hidden(text: str, also: Iterable[str] = ()) -> str:
    """Return a text in which no known secret is left, none of `also`, and no user of a URL but
    SSH's."""
    wanted = {*_known, *also}
    for secret in sorted(wanted | {quote(each, safe="") for each in wanted}, key=len, reverse=True):
        if len(secret) >= _WORD_BELOW:
            text = text.replace(secret, _HIDDEN)
        elif secret:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", _HIDDEN, text)
    return _USERINFO.sub(rf"\1{_HIDDEN}@", text)


def scrubbed(text: str, url: str) -> str:
    """Return a text in which, as well, no part of a URL is left but for its scheme."""
    scheme, _, rest = url.partition("://")
    parts = [part for part in _PARTS.findall(rest) if part != scheme]
    return hidden(text, [*parts, *map(unquote, parts)])

"""Command lines that any login shell hands on unchanged.

sshd gives a command to the user's login shell, which may be bash, fish or csh, may print a
greeting first, and has its own idea of quotation marks. So every command is wrapped in `sh`, which
prints a random mark on stdout and on stderr and becomes the command: what came before the mark is
not the command's. Words that shells disagree about (quotes, backslashes, "!", line ends) travel in
octal.
"""

import re
import secrets
from collections.abc import Sequence
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9 _.,:;=/+@%^~*?(){}\[\]<>|&#$\"`-]*", re.ASCII)
_SAFE: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:=,")
# sh, not the login shell, reads what is within these marks
_START: Final = "echo {0};echo {0}>&2;{1}"
_PLAIN_SCRIPT: Final = 'exec "$@"'
_OCTAL_SCRIPT: Final = 'eval "exec $(printf %b "$(printf %s "$1"|tr @ "\\134")")"'


def new_mark() -> str:
    """Return a line that no greeting has."""
    return f"voltar-{secrets.token_hex(12)}"


def command_line(argv: Sequence[str], mark: str) -> str:
    """Return what to give to sshd so that it runs `argv`, after `mark` on a line of its own."""
    if all(_PLAIN.fullmatch(word) for word in argv):
        script = _START.format(mark, _PLAIN_SCRIPT)
        words = list(argv)
    else:
        script = _START.format(mark, _OCTAL_SCRIPT)
        words = [_octal(" ".join(f"'{_escaped(word)}'" for word in argv))]
    quoted = " ".join(f"'{word}'" for word in words)
    return f"exec sh -c '{script}' sh {quoted}"


def _escaped(word: str) -> str:
    return word.replace("'", "'\\''")


def _octal(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _SAFE else f"@0{byte:03o}" for byte in data)

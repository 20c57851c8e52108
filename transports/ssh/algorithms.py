"""Which algorithms are offered: ours by default, else what ssh_config says, never more than that.

A list in ssh_config replaces the default; with "+" it is appended, with "-" taken away, with "^"
put first. AES-GCM comes first by default since it is several times faster here than the others;
what is broken or nearly so (CBC, 3DES, MD5, SHA-1) is offered only where the list names it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from transports.errors import Refused
from transports.ssh.pattern import matches_list

DEFAULTS: Final[Mapping[str, tuple[str, ...]]] = {
    "ciphers": (
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
    ),
    "macs": (
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-512",
    ),
    "kexalgorithms": (
        "mlkem768x25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group-exchange-sha256",
        "diffie-hellman-group14-sha256",
    ),
    "hostkeyalgorithms": (
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
    ),
    "pubkeyacceptedalgorithms": (
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
    ),
}
_SAME: Final = {"curve25519-sha256": "curve25519-sha256@libssh.org"}
_CERTIFICATE: Final = "-cert-v01@openssh.com"


def chosen(keyword: str, written: str | None, possible: Sequence[str]) -> tuple[str, ...]:
    """Return what to offer, of what is possible, in order. Raises Refused if that is nothing."""
    default = DEFAULTS[keyword]
    if keyword == "pubkeyacceptedalgorithms":
        default = (*default, *(name + _CERTIFICATE for name in default))
    names = _combined(written, default, possible) if written else default
    offered = tuple(dict.fromkeys(name for name in names if name in possible))
    if not offered:
        raise Refused(
            f"ssh_config: {keyword} {written!r} leaves nothing that is known here",
            hint="--ssh-binary leaves the connection to OpenSSH",
        )
    return offered


def _combined(written: str, default: Sequence[str], possible: Sequence[str]) -> list[str]:
    sign, rest = written[0], written[1:]
    if sign == "-":
        return [name for name in default if not _listed(name, rest)]
    if sign == "+":
        return [*default, *_spelled_out(rest, possible)]
    if sign == "^":
        return [*_spelled_out(rest, possible), *default]
    return _spelled_out(written, possible)


def _listed(name: str, patterns: str) -> bool:
    aliases = [other for other, same in _SAME.items() if same == name]
    return any(matches_list(each, patterns) for each in (name, *aliases))


def _spelled_out(written: str, possible: Sequence[str]) -> list[str]:
    names: list[str] = []
    for pattern in written.split(","):
        name = _SAME.get(pattern, pattern)
        names += [each for each in possible if matches_list(each, name)]
    return names

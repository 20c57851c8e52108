import pytest

from transports.errors import Refused
from transports.ssh.algorithms import DEFAULTS, chosen

POSSIBLE = (*DEFAULTS["ciphers"], "aes128-cbc", "3des-cbc")
FIRST = "aes128-gcm@openssh.com"


def ciphers(written: str | None) -> tuple[str, ...]:
    return chosen("ciphers", written, POSSIBLE)


def test_what_is_weak_is_not_offered_by_itself():
    assert ciphers(None) == DEFAULTS["ciphers"]
    assert not [name for name in ciphers(None) if "cbc" in name]


@pytest.mark.parametrize(
    ("written", "offered"),
    [
        ("aes256-ctr,aes128-ctr", ("aes256-ctr", "aes128-ctr")),
        ("chacha20-poly1305@openssh.com,aes256-ctr", ("aes256-ctr",)),
        ("+aes128-cbc", (*DEFAULTS["ciphers"], "aes128-cbc")),
        ("^aes256-ctr", ("aes256-ctr", *[c for c in DEFAULTS["ciphers"] if c != "aes256-ctr"])),
        ("-*-ctr", tuple(c for c in DEFAULTS["ciphers"] if "ctr" not in c)),
        ("-aes128-gcm@openssh.com", DEFAULTS["ciphers"][1:]),
        ("+no-such-cipher", DEFAULTS["ciphers"]),
    ],
)
def test_the_configuration_is_obeyed(written, offered):
    assert ciphers(written) == offered


@pytest.mark.parametrize("written", ["chacha20-poly1305@openssh.com", "-*", "none"])
def test_nothing_left_is_an_error_not_a_weaker_choice(written):
    with pytest.raises(Refused, match="leaves nothing") as refused:
        ciphers(written)

    assert "--ssh-binary" in (refused.value.hint or "")


def test_one_exchange_has_two_names():
    possible = DEFAULTS["kexalgorithms"]

    assert chosen("kexalgorithms", "curve25519-sha256", possible) == (
        "curve25519-sha256@libssh.org",
    )
    assert "curve25519-sha256@libssh.org" not in chosen(
        "kexalgorithms", "-curve25519-sha256", possible
    )

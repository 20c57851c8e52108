import pytest

from transports.errors import Refused
from transports.ssh.address import Address, parse_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ssh://host", Address("host")),
        ("ssh://host/", Address("host")),
        ("ssh://me@host:2222", Address("host", "me", 2222)),
        ("ssh://me%40corp@host", Address("host", "me@corp")),
        ("ssh://[::1]:22", Address("::1", None, 22)),
        ("ssh://[fe80::1%eth0]", Address("fe80::1%eth0")),
    ],
)
def test_an_address_says_who_and_where(url, address):
    assert parse_address(url) == address


@pytest.mark.parametrize(
    "url",
    ["ssh://", "ssh:host", "http://host", "ssh://host/dir", "ssh://host:0", "ssh://host:65536",
     "ssh://host:x", "ssh://@host", "ssh://-oProxyCommand=x", "ssh://-l@host", "ssh://a b",
     "ssh://host;id", "ssh://host\n", "ssh://::1"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url):
    with pytest.raises(Refused) as refused:
        parse_address(url)

    assert "ssh://host" in (refused.value.hint or "")


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(Refused) as refused:
        parse_address("ssh://me:secret@host")

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["ssh://host", "ssh://me@host:22", "ssh://me@[::1]:22"])
def test_an_address_is_written_as_it_was(url):
    assert parse_address(url).url == url

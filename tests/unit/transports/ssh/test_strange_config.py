"""What people, and accidents, write into ssh_config: a value, or one clear sentence."""

from pathlib import Path

import pytest

from transports.errors import Refused
from transports.ssh.address import parse_address
from transports.ssh.settings import Settings, settings_for


def read(directory: Path, text: bytes) -> Settings:
    file = directory / "config"
    file.write_bytes(text)
    return settings_for(parse_address("ssh://far"), file)


@pytest.mark.parametrize(
    "text",
    [
        b"Host\tfar\n\tHostName\t1.2.3.4\n\tPort\t77\n",
        b"Host far\r\n  HostName 1.2.3.4\r\n  Port 77\r\n",
        b'Host "far"\n  HostName "1.2.3.4"\n  Port "77"\n',
        b"Host=far\nHostName = 1.2.3.4\nPort=77",
        b"Host far\n# J\xfcrgen \xff\nHostName 1.2.3.4\nPort 77\n",
    ],
    ids=["tabs", "CRLF", "quotes", "= and no last newline", "no UTF-8"],
)
def test_a_line_may_be_written_in_many_ways(tmp_path, text):
    settings = read(tmp_path, text)

    assert (settings.hostname, settings.port) == ("1.2.3.4", 77)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"IdentityFile ~nonesuch-user/key", "there is no user for '~nonesuch-user/key'"),
        (b"IdentityAgent ~nonesuch-user/agent", "there is no user"),
        (b"RevokedHostKeys ~nonesuch-user/keys", "there is no user"),
        (b"Include ~nonesuch-user/config", "there is no user"),
        (b"Port " + b"9" * 5000, "is not a port"),
        ("Port ٣٣".encode(), "is not a port"),
        (b"ServerAliveCountMax " + b"9" * 5000, "is not a number"),
        (b"ConnectTimeout " + b"9" * 5000, "is not a time"),
        (b"RekeyLimit " + b"9" * 5000, "is not a size"),
        (b"Include /etc", "Is a directory"),
        (b'HostName "1.2', "quotation mark"),
    ],
)
def test_what_is_no_value_is_said_to_be_none(tmp_path, line, said):
    with pytest.raises(Refused, match=said):
        read(tmp_path, b"Host far\n" + line + b"\n")


def test_a_user_may_have_a_name_that_is_no_utf_8(tmp_path):
    assert read(tmp_path, b"Host far\nUser J\xfcrgen\n").user == "J\udcfcrgen"


def test_a_long_time_is_as_long_as_can_be_waited(tmp_path):
    assert read(tmp_path, b"Host far\nConnectTimeout 99999999999999\n").connect_timeout_s == 10**8

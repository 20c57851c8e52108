"""How a link comes about, or does not: host keys, keys, passwords, and the way there."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.cli.app import run
from tests.integration.ssh_side import Client, agent
from tests.testbed.farhost import Account
from tests.testbed.sshd import Sshd, make_key, public
from transports.errors import ConnectionLost, HostKeyRefused, Refused
from transports.ssh import Link, Options

Start = Callable[..., Sshd]
NO_KEY = ["IdentityFile none", "IdentityAgent none"]


@pytest.fixture(params=["paramiko", "binary"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    client = Client(tmp_path, request.param)
    yield client
    client.close()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Client]:
    """A client by paramiko."""
    client = Client(tmp_path, "paramiko")
    yield client
    client.close()


def works(link: Link) -> bool:
    return link.run(["echo", "in"]).stdout == b"in\n"


def refusal(client: Client, kind: type[Refused] = Refused, **more: Any) -> str:
    with pytest.raises(kind) as refused:
        client.open(**more)
    return f"{refused.value} [{refused.value.hint}]"


# host keys


def test_an_unknown_host_is_refused_with_its_fingerprint(client, start_sshd: Start):
    host = start_sshd()
    client.knows(host, known=False)

    said = refusal(client, HostKeyRefused)

    assert "the host key of ssh://far is unknown" in said
    assert "voltar host trust ssh://far" in said
    assert client.kind == "binary" or host.fingerprint in said
    assert client.known_hosts.read_text() == ""


def test_a_changed_host_key_cannot_be_missed(client, start_sshd: Start):
    host = start_sshd()
    client.knows(host, more=["StrictHostKeyChecking no"])
    old = host.fingerprint
    host.change_host_key()

    said = refusal(client, HostKeyRefused)

    assert "THE HOST KEY OF ssh://far HAS CHANGED" in said
    assert f"it shows {host.fingerprint}" in said
    assert str(client.known_hosts) in said
    if client.kind == "paramiko":
        assert old in said
        assert f"{client.known_hosts}, line 1" in said


def test_another_kind_of_key_does_not_hide_a_change(ours, start_sshd: Start):
    host = start_sshd()
    ours.knows(host, more=["StrictHostKeyChecking accept-new"])
    host.change_host_key("ecdsa")

    assert "HAS CHANGED" in refusal(ours, HostKeyRefused)


@pytest.mark.parametrize("marker", ["", "@revoked "], ids=["known", "revoked"])
def test_what_the_whole_machine_knows_counts(client, start_sshd: Start, tmp_path, marker):
    """As /etc/ssh/ssh_known_hosts does where nothing else is configured."""
    host = start_sshd()
    everybodys = tmp_path / "ssh_known_hosts"
    everybodys.write_text(f"{marker}[127.0.0.1]:{host.port} {host.host_key}\n")
    client.knows(host, more=[f"GlobalKnownHostsFile {everybodys}"], known=bool(marker))

    if marker:
        assert "revoked" in refusal(client).lower()
    else:
        assert works(client.open())


def test_a_second_kind_of_key_is_no_change(client, start_sshd: Start):
    host = start_sshd()
    second = make_key(host.directory / "second", "rsa")
    host.configure([f"HostKey {second}"])
    client.knows(host, known=False)
    client.known_hosts.write_text(f"[127.0.0.1]:{host.port} {public(second)}\n")

    assert works(client.open())


def test_a_revoked_key_is_refused_though_it_is_listed(client, start_sshd: Start):
    host = start_sshd()
    client.knows(host)
    with client.known_hosts.open("a") as file:
        file.write(f"@revoked * {host.host_key}\n")

    assert "revoked" in refusal(client).lower()


def test_a_revoked_key_of_a_list_is_refused(ours, start_sshd: Start, tmp_path):
    host = start_sshd()
    (tmp_path / "revoked").write_text(f"{host.host_key}\n")
    ours.knows(host, more=[f"RevokedHostKeys {tmp_path}/revoked"])

    assert "IS REVOKED" in refusal(ours, HostKeyRefused)


def test_a_hashed_entry_is_found(client, start_sshd: Start):
    client.knows(start_sshd())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", client.known_hosts], check=True)

    assert works(client.open())


def test_an_alias_names_the_key(client, start_sshd: Start):
    host = start_sshd()
    client.knows(host, more=["HostKeyAlias database"], known=False)
    client.known_hosts.write_text(f"database {host.host_key}\n")

    assert works(client.open())


def test_new_hosts_may_be_accepted_by_configuration(client, start_sshd: Start):
    host = start_sshd()
    client.knows(host, more=["StrictHostKeyChecking accept-new"], known=False)

    assert works(client.open())
    assert host.host_key.split()[1] in client.known_hosts.read_text()


def test_a_pin_is_enough_and_the_only_one(client, start_sshd: Start):
    host = start_sshd()
    other = make_key(host.directory / "other", "ecdsa")
    host.configure([f"HostKey {other}"])
    client.knows(host, known=False)
    shown = subprocess.run(["ssh-keygen", "-lf", other], capture_output=True, check=True).stdout

    assert works(client.open(host_keys=["SHA256:" + "x" * 43, host.fingerprint]))
    assert works(client.open(host_keys=[shown.split()[1].decode()]))
    wrong = "SHA256:" + "A" * 43
    assert wrong in refusal(client, HostKeyRefused, host_keys=[wrong])


def test_a_certificate_authority_is_left_to_openssh(ours, start_sshd: Start, tmp_path):
    host = start_sshd()
    ours.knows(host, known=False)
    authority = public(make_key(tmp_path / "ca"))
    ours.known_hosts.write_text(f"@cert-authority * {authority}\n")

    assert "--ssh-binary" in refusal(ours, HostKeyRefused)


def test_trust_keeps_a_key_and_never_replaces_one_unasked(start_sshd: Start, ours, capsys):
    host = start_sshd()
    ours.knows(host, known=False)
    words = ["host", "trust", "far", "--ssh-config", str(ours.config)]

    assert run(words) == 7
    assert run([*words, "--fingerprint", "SHA256:" + "A" * 43]) == 7
    assert ours.known_hosts.read_text() == ""
    assert run([*words, "--yes"]) == 0
    assert works(ours.open())
    assert run(words) == 0
    host.change_host_key()
    before = ours.known_hosts.read_text()
    assert run([*words, "--yes"]) == 7
    assert ours.known_hosts.read_text() == before
    assert run([*words, "--fingerprint", host.fingerprint]) == 0
    assert works(ours.open())
    assert len(ours.known_hosts.read_text().splitlines()) == 1
    assert "HAS CHANGED" in capsys.readouterr().err


# keys and passwords


def test_a_wrong_key_is_said_with_what_was_tried(client, start_sshd: Start, tmp_path):
    host = start_sshd()
    client.knows(host)
    host.authorize(public(make_key(tmp_path / "somebody")))

    said = refusal(client)

    assert "ssh://far does not let" in said
    assert "publickey" in said
    assert client.kind == "binary" or f"key-{host.port}" in said


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_keys_of_all_kinds_open(client, start_sshd: Start, tmp_path, kind):
    host = start_sshd()
    key = make_key(tmp_path / "mine", kind)
    host.authorize(public(key))
    client.knows(host, more=[f"IdentityFile {key}"])

    assert works(client.open())


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_an_encrypted_key_needs_its_passphrase(ours, start_sshd: Start, tmp_path, kind):
    host = start_sshd()
    key = make_key(tmp_path / "mine", kind, passphrase="open sesame")
    host.authorize(public(key))
    ours.knows(host, more=[f"IdentityFile {key}"])
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return ["wrong", "open sesame"][min(len(asked), 2) - 1]

    assert "needs a passphrase" in refusal(ours)
    assert "does not open it" in refusal(ours, passphrase="wrong")
    assert works(ours.open(ask=answer))
    assert works(ours.open(ask=answer))
    assert asked == [f"passphrase of {key}: "] * 2


def test_a_passphrase_of_a_file_opens_unasked(ours, start_sshd: Start, tmp_path):
    host = start_sshd()
    key = make_key(tmp_path / "mine", passphrase="open sesame")
    host.authorize(public(key))
    ours.knows(host, more=[f"IdentityFile {key}"])

    assert works(ours.open(passphrase="open sesame"))


def test_an_agent_opens(client, start_sshd: Start, tmp_path):
    host = start_sshd()
    key = make_key(tmp_path / "mine")
    host.authorize(public(key))
    with agent(tmp_path, make_key(tmp_path / "other", "rsa"), key) as path:
        key.unlink()
        client.knows(host, more=[f"IdentityAgent {path}", f"IdentityFile {key}"])

        assert works(client.open())


def test_an_agents_other_keys_are_not_shown_where_only_named_ones_may(
    ours, start_sshd: Start, tmp_path
):
    host = start_sshd()
    key = make_key(tmp_path / "mine")
    host.authorize(public(key))
    with agent(tmp_path, key) as path:
        ours.knows(host, more=[f"IdentityAgent {path}"])  # which says IdentitiesOnly too

        assert "mine" not in refusal(ours)


def test_a_certificate_opens(client, start_sshd: Start, tmp_path):
    authority, key = make_key(tmp_path / "ca"), make_key(tmp_path / "mine")
    host = start_sshd(options=[f"TrustedUserCAKeys {tmp_path}/ca.pub"])
    host.authorize()
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "me", "-n", host.user, f"{key}.pub"]
    subprocess.run(sign, check=True)
    Path(f"{key}-cert.pub").rename(tmp_path / "signed")
    client.knows(host, more=[f"IdentityFile {key}", f"CertificateFile {tmp_path}/signed"])

    assert works(client.open())


def test_a_key_that_others_can_read_is_not_used(ours, start_sshd: Start, tmp_path):
    host = start_sshd()
    key = make_key(tmp_path / "mine")
    host.authorize(public(key))
    key.chmod(0o644)
    ours.knows(host, more=[f"IdentityFile {key}"])

    assert "others can read it" in refusal(ours)


def test_a_password_is_asked_for_and_a_wrong_one_refused(ours, start_sshd: Start):
    host = start_sshd(account=Account(password="right"))
    host.authorize()
    ours.knows(host, more=NO_KEY)
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "wrong"

    assert "no terminal to ask" in refusal(ours)
    assert "refused" in refusal(ours, ask=answer)
    assert len(asked) == 3
    assert works(ours.open(ask=lambda _: "right"))


def test_a_key_and_a_password_may_both_be_demanded(ours, start_sshd: Start):
    account = Account(password="right")
    host = start_sshd(account=account, options=["AuthenticationMethods publickey,password"])
    ours.knows(host)

    assert works(ours.open(ask=lambda _: "right"))
    assert "takes password" in refusal(ours)


# the way there


def test_a_jump_leads_to_a_host_with_keys_of_its_own(client, start_sshd: Start):
    inner, outer = start_sshd(), start_sshd()
    client.knows(outer, "outer")
    client.knows(inner, "inner", ["ProxyJump outer"])

    assert works(client.open("ssh://inner"))
    outer.change_host_key()
    if client.kind == "paramiko":
        with pytest.raises(HostKeyRefused, match="HOST KEY OF ssh://outer HAS CHANGED"):
            client.open("ssh://inner")
    else:
        with pytest.raises((Refused, ConnectionLost)):
            client.open("ssh://inner")


def test_jumps_may_follow_each_other(client, start_sshd: Start):
    hosts = [start_sshd() for _ in range(3)]
    for number, host in enumerate(hosts):
        client.knows(host, f"hop{number}", ["ProxyJump hop0,hop1"] if number == 2 else [])

    assert works(client.open("ssh://hop2"))
    assert all("Accepted publickey" in host.log for host in hosts)


def test_a_circle_of_jumps_is_seen(ours, start_sshd: Start):
    ours.knows(start_sshd(), more=["ProxyJump far"])

    assert "circle" in refusal(ours)


def test_a_command_leads_to_the_host(client, start_sshd: Start, tmp_path):
    script = tmp_path / "relay"
    script.write_text(
        f"#!{sys.executable}\nimport socket, sys, threading, os\n"
        "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def up():\n    while d := os.read(0, 65536): s.sendall(d)\n    s.shutdown(1)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while d := s.recv(65536): os.write(1, d)\n"
    )
    script.chmod(0o755)
    client.knows(start_sshd(), more=[f"ProxyCommand {script} %h %p"])

    assert works(client.open())


def test_a_command_that_leads_nowhere_is_quoted(client, start_sshd: Start):
    client.knows(start_sshd(), more=["ProxyCommand sh -c 'echo no way >&2; exit 1'"])

    with pytest.raises((ConnectionLost, Refused), match=r"no way|ssh://far"):
        client.open()


def test_what_is_included_counts(client, start_sshd: Start):
    client.knows(start_sshd())
    client.config.rename(client.config.with_name("more"))
    client.config.write_text(f"Include {client.config.parent}/mo*\n")

    assert works(client.open())


def test_nobody_at_the_port_is_a_lost_connection(client, start_sshd: Start):
    client.knows(start_sshd())
    client.config.write_text(re.sub(r"Port \d+", "Port 1", client.config.read_text()))

    with pytest.raises(ConnectionLost, match="ssh://far"):
        client.open()


def test_a_host_that_is_not_there_is_said_so(ours):
    ours.config.parent.mkdir()
    ours.config.write_text("")

    with pytest.raises((Refused, ConnectionLost), match=r"nowhere\.invalid"):
        ours.open("ssh://nowhere.invalid")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Ciphers 3des-cbc", "no algorithm in common"),
        ("Ciphers chacha20-poly1305@openssh.com", "leaves nothing that is known here"),
        ("KnownHostsCommand /bin/true", "is not done here"),
        ("CanonicalizeHostname yes", "is not done here"),
        ("NoSuchKeyword yes", "unknown keyword"),
        ("Port many", "is not a port"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(ours, start_sshd: Start, line, said):
    ours.knows(start_sshd())
    ours.config.write_text(f"{line}\n{ours.config.read_text().replace('Port ', 'port ')}")

    assert said in refusal(ours)


def test_ciphers_of_the_configuration_are_used(ours, start_sshd: Start):
    ours.knows(start_sshd(), more=["Ciphers aes256-ctr"])

    assert ours.open().cipher == "aes256-ctr"


def test_secrets_are_not_shown():
    assert "sesame" not in repr(Options(passphrase="open sesame", ask=lambda _: os.sep))

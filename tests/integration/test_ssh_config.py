"""ssh_config and known_hosts mean here what they mean to OpenSSH, which is asked."""

import random
import re
import subprocess
from pathlib import Path

import pytest

from tests.testbed import debian
from tests.testbed.sshd import TOOLS, make_key, public
from transports.errors import Refused
from transports.ssh.address import Address
from transports.ssh.knownhosts import HostKey, entries_for, line_for
from transports.ssh.settings import Settings, settings_for

HOSTS = ["foo", "bar.example.com", "FOO", "baz"]
PATTERNS = [
    "foo",
    "f*",
    "*",
    "!foo",
    "!f?o",
    "*.example.com",
    "bar*",
    "FOO",
    "ba?",
    '"foo"',
    "!*a*",
]
CRITERIA = [
    "all", "host foo", "host *.example.com,!bar*", "host real.host,!x", "!host foo", "user alice",
    "originalhost foo,bar*", "originalhost FOO", "user bob host *", "exec true", "!exec true",
    'exec "test %n = foo"', "final all", "final host real.host", "canonical", "!final user alice",
    "localuser nobody", "ALL", "Host foo # comment",
]  # fmt: skip
SETTINGS = [
    "User alice", 'User "a b"', "User bob", "Port 22", "Port 2222", "HostName %h.example.com",
    "HostName 10.0.0.1", "HostName Real.Host", "HostName x%%y", "HostName ::1",
    "IdentityFile ~/.ssh/a", "IdentityFile ~/.ssh/%h_%r", "IdentityFile /k/%u_%p",
    "IdentityFile %d/x", 'IdentityFile "~/my key"', "IdentityFile none", "IdentityFile /a # c",
    "IdentityFile a\\ b", "IdentitiesOnly yes", "IdentitiesOnly no",
    "UserKnownHostsFile /tmp/x /tmp/y", 'UserKnownHostsFile "/tmp/a b" /c',
    "UserKnownHostsFile none", "GlobalKnownHostsFile /etc/x /etc/y", "StrictHostKeyChecking yes",
    "StrictHostKeyChecking no", "StrictHostKeyChecking accept-new", "StrictHostKeyChecking off",
    "HostKeyAlias AL", "ConnectTimeout 5", "ConnectTimeout 1h30m", "ServerAliveInterval 1m",
    "ServerAliveCountMax 9", "ProxyJump j1", "ProxyJump u@j1:99", "ProxyJump j1,j2:22",
    "ProxyJump none", "ProxyCommand nc %h %p", "ProxyCommand none",
    "ProxyCommand x \"%h\" 'a b' # not a comment", "Compression yes", "BatchMode no",
    "HashKnownHosts yes", "PasswordAuthentication no", "CertificateFile /c/%h", "RekeyLimit 1G 1h",
    "AddressFamily inet6", "BindAddress 127.0.0.1", "RequiredRSASize 2048", "ForwardAgent yes",
    "LogLevel QUIET", "Ciphers aes256-ctr,aes128-ctr",
    "UserKnownHostsFile \"unfinished", "NoSuchKeyword yes", "IgnoreUnknown nosuch*",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def openssh() -> None:
    debian.require(TOOLS)


class Writer:
    """Writes configurations of all kinds, the same for the same number."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.random = random.Random(seed)
        self.directory = directory
        self.files = 0

    def file(self, depth: int = 0) -> Path:
        lines = [self._line(depth) for _ in range(self.random.randint(1, 9))]
        self.files += 1
        path = self.directory / f"part{self.files}.conf"
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)
        return path

    def _line(self, depth: int) -> str:
        kind = self.random.random()
        if kind < 0.2:
            count = self.random.randint(1, 3)
            return self._spaced("Host " + " ".join(self.random.sample(PATTERNS, count)))
        if kind < 0.4:
            return "Match " + self.random.choice(CRITERIA)
        if kind < 0.47 and depth < 3:
            path = self.file(depth + 1)
            forms = [f"{path}", f'"{path}" /nonexistent', f"{str(path)[:-6]}?.conf"]
            return "Include " + self.random.choice(forms)
        return self._spaced(self.random.choice(SETTINGS))

    def _spaced(self, line: str) -> str:
        keyword, rest = line.split(" ", 1)
        keyword = self.random.choice([keyword, keyword.lower(), keyword.upper()])
        between = self.random.choice([" ", "=", "  ", " = ", "\t"])
        return self.random.choice(["", "  ", "\t"]) + keyword + between + rest


def expected(said: str, home: Path) -> dict[str, list[str]]:
    """What `ssh -G` printed: all values of each keyword, with the home spelled out."""
    values: dict[str, list[str]] = {}
    for line in said.splitlines():
        keyword, _, value = line.partition(" ")
        values.setdefault(keyword, []).append(re.sub(r"(^|(?<= ))~(?=/)", str(home), value))
    return values


def spelled(settings: Settings, values: list[str], home: Path) -> list[str]:
    """Paths that `ssh -G` printed, with what the letters stand for; without those we never try."""
    letters = {"%h": settings.hostname, "%r": settings.user, "%d": str(home), "%u": "root"}
    letters["%p"] = str(settings.port)
    text = "\n".join(values)
    for letter, meaning in letters.items():
        text = text.replace(letter, meaning)
    unused = ("id_xmss", "id_dsa")
    return [v for v in text.split("\n") if v not in ("none", "") and not v.endswith(unused)]


def written(flag: bool) -> str:
    return "yes" if flag else "no"


def compare(settings: Settings, says: dict[str, list[str]], home: Path) -> None:
    first = {keyword: values[0] for keyword, values in says.items()}
    strict = {"yes": {"ask", "true", "yes"}, "accept-new": {"accept-new", "false", "no", "off"}}
    timeout = settings.connect_timeout_s

    assert settings.hostname == first["hostname"]
    assert str(settings.port) == first["port"]
    assert settings.user == first["user"]
    assert list(map(str, settings.identity_files)) == spelled(settings, says["identityfile"], home)
    certificates = spelled(settings, says.get("certificatefile", []), home)
    assert list(map(str, settings.certificate_files)) == certificates
    assert written(settings.identities_only) == first["identitiesonly"]
    assert settings.proxy_jump == first.get("proxyjump")
    assert settings.proxy_command == first.get("proxycommand")
    users = " ".join(map(str, settings.user_known_hosts)) or "none"
    assert users == first["userknownhostsfile"]
    assert " ".join(map(str, settings.global_known_hosts)) == first["globalknownhostsfile"]
    assert first["stricthostkeychecking"] in strict[settings.strict]
    assert settings.host_key_alias == first.get("hostkeyalias")
    assert ("none" if timeout is None else str(int(timeout))) == first["connecttimeout"]
    assert str(int(settings.alive_interval_s or 0)) == first["serveraliveinterval"]
    assert str(settings.alive_count or 3) == first["serveralivecountmax"]
    assert written(settings.compression) == first["compression"]
    assert written(settings.batch) == first["batchmode"]
    assert written(settings.hash_known_hosts) == first["hashknownhosts"]
    assert written("password" in settings.authentications) == first["passwordauthentication"]
    assert str(settings.rsa_size) == first["requiredrsasize"]
    assert settings.bind_address == first.get("bindaddress")
    if "ciphers" in settings.algorithms:
        assert settings.algorithms["ciphers"] == first["ciphers"]


def read(host: str, config: Path) -> Settings | Refused:
    try:
        return settings_for(Address(host), config)
    except Refused as refused:
        return refused


@pytest.mark.parametrize("seed", range(8))
def test_a_configuration_means_what_it_means_to_openssh(tmp_path, monkeypatch, seed):
    monkeypatch.setenv("HOME", "/root")  # OpenSSH's client does not look at it
    for number in range(12):
        writer = Writer(seed * 1000 + number, tmp_path)
        config, host = writer.file(), writer.random.choice(HOSTS)
        text = "\n".join(f"{path}:\n{path.read_text()}" for path in tmp_path.glob("*.conf"))
        asked = ["ssh", "-F", str(config), "-G", host]
        said = subprocess.run(asked, capture_output=True, text=True, check=False)

        settings = read(host, config)

        refused = isinstance(settings, Refused)
        assert refused == bool(said.returncode), f"{said.stderr}\n{settings}\n{host}\n{text}"
        print(host, text, sep="\n")  # shown when it fails
        if isinstance(settings, Settings):
            compare(settings, expected(said.stdout, Path("/root")), Path("/root"))


NAMES = ["plain", "[plain]:2222", "other.example.com", "[::1]:22", "10.0.0.7", "PLAIN"]
LINES = [
    "plain {}", "plain,10.0.0.7 {}", "*.example.com {}", "*,!plain {}", "[plain]:2222 {}",
    "[*]:2222 {}", "!other.example.com,*.com {}", "p?ain {}", "# plain {}", "plain", "PLAIN {}",
    "  plain {} a comment", "@revoked plain {}", "@cert-authority * {}", "",
]  # fmt: skip


@pytest.mark.parametrize("hashed", [False, True], ids=["plain", "hashed"])
def test_known_hosts_name_whom_they_name_to_openssh(tmp_path, hashed):
    keys = [public(make_key(tmp_path / f"key{number}")) for number in range(len(LINES))]
    file = tmp_path / "known_hosts"
    lines = [line.format(key) for line, key in zip(LINES, keys, strict=True)]
    file.write_text("\n".join(lines) + "\n")
    if hashed:
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=False, capture_output=True)
    for name in NAMES:
        asked = ["ssh-keygen", "-F", name, "-f", str(file)]
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout

        found = entries_for(name.lower(), [file])

        assert [f"line {entry.line}" for entry in found] == re.findall(r"line \d+", said)


def test_a_line_of_ours_is_found_by_openssh(tmp_path):
    make_key(tmp_path / "key", "ecdsa")
    blob = entries_for("x", [written_for(tmp_path, "x")])[0].key
    file = tmp_path / "known"

    for hashed in (True, False):
        file.write_text(line_for("[host]:2222", blob, hashed=hashed) + "\n")
        asked = ["ssh-keygen", "-l", "-F", "[host]:2222", "-f", str(file)]
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout

        assert blob.fingerprint in said
        assert isinstance(blob, HostKey)


def written_for(directory: Path, name: str) -> Path:
    file = directory / "one"
    file.write_text(f"{name} {public(directory / 'key')}\n")
    return file

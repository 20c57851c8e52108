"""Files of known hosts as they are found: large, odd, not to be read, not to be written."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.testbed.sshd import Sshd
from transports.errors import HostKeyRefused, Refused
from transports.ssh import Options, open_link
from transports.ssh.knownhosts import HostKey, entries_for, line_for
from transports.ssh.trust import introduce, keep

VOLTAR = Path(sys.executable).with_name("voltar")
BOUND = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
"""Root as any other user: it may read what the mode allows."""
MANY = 100_000
KEY = HostKey("ssh-ed25519", b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"k" * 32)


@pytest.fixture
def config(sftp_server: Sshd, tmp_path: Path) -> Path:
    return sftp_server.config_for(tmp_path)


@pytest.fixture
def known(config: Path) -> Path:
    return config.with_name("known_hosts")


def connects(config: Path) -> bool:
    link = open_link("ssh://far", Options(config=config))
    try:
        return link.run(["echo", "in"]).stdout == b"in\n"
    finally:
        link.close()


def trusting(home: Path, host: Sshd, *more: str) -> subprocess.CompletedProcess[str]:
    """`voltar host trust` of somebody with this home, to whom permissions apply."""
    words = ["host", "trust", host.url, "--fingerprint", host.fingerprint, *more]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [*BOUND, VOLTAR, *words], env=environment, capture_output=True, text=True, check=False
    )


ODD: dict[str, Callable[[bytes], bytes]] = {
    "line ends of Windows": lambda line: line.replace(b"\n", b"\r\n"),
    "no line end": lambda line: line.rstrip(),
    "garbage before": lambda line: os.urandom(5000).replace(b"\n", b"") + b"\n" + line,
    "odd lines before": lambda line: b"@revoked\n@cert-authority\n|1|x|\n|1|\n* \n@\n\0\n" + line,
    "keys that are none": lambda line: (
        b"* ssh-ed25519 AAAA\n* ssh-\xff\xfe AAAA\n* ssh-ed25519 !!\n* ssh-rsa "
        + line.split()[2]
        + b"\n"
        + line
    ),
    "one line of 10 MB": lambda line: b"x" * 10_000_000 + b"\n" + line,
    "tabs and a comment": lambda line: b"\t " + line.replace(b" ", b"\t ").rstrip() + b" a b c\n",
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_file_is_read_as_far_as_it_makes_sense(odd: str, config: Path, known: Path) -> None:
    known.write_bytes(ODD[odd](known.read_bytes()))

    assert connects(config)


@pytest.mark.parametrize("hashed", [True, False], ids=["hashed", "plain"])
def test_a_hundred_thousand_hosts_take_no_time(hashed: bool, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    lines = (line_for(f"host{number}.example.com", KEY, hashed=hashed) for number in range(MANY))
    file.write_text("".join(f"{line}\n" for line in lines))
    began = time.process_time()

    found = entries_for(f"host{MANY - 1}.example.com", [file])

    assert [entry.line for entry in found] == [MANY]
    assert time.process_time() - began < 3


@pytest.mark.parametrize("kind", ["a directory", "a FIFO"])
def test_what_is_no_file_is_refused(kind: str, config: Path, known: Path) -> None:
    known.unlink()
    if kind == "a FIFO":
        os.mkfifo(known)
    else:
        known.mkdir()

    with pytest.raises(Refused, match=f"cannot read the known host keys in {known}: .*{kind}"):
        connects(config)
    with pytest.raises(Refused, match=f"cannot read the known host keys in {known}: .*{kind}"):
        introduce("ssh://far", Options(config=config))


def test_a_revoked_key_counts_among_a_thousand_lines(
    config: Path, known: Path, sftp_server: Sshd
) -> None:
    key = sftp_server.host_key
    other = "".join(f"host{number} {key}\n" for number in range(1000))
    known.write_text(f"{known.read_text()}{other}@revoked * {key}\n")

    with pytest.raises(HostKeyRefused, match=f"REVOKED.*{known}, line 1002"):
        connects(config)


def test_a_file_that_may_not_be_read_is_an_error_in_a_sentence(
    tmp_path: Path, sftp_server: Sshd
) -> None:
    (tmp_path / ".ssh").mkdir(mode=0o700)
    (tmp_path / ".ssh/known_hosts").touch(mode=0o000)

    done = trusting(tmp_path, sftp_server)

    assert done.returncode == 1
    assert f"error: cannot read the known host keys in {tmp_path}" in done.stderr
    assert "Permission denied" in done.stderr


def test_a_directory_that_may_not_be_written_to_is_an_error_in_a_sentence(
    tmp_path: Path, sftp_server: Sshd
) -> None:
    file = tmp_path / ".ssh/known_hosts"
    file.parent.mkdir(mode=0o700)
    file.write_text("# mine\n")
    file.parent.chmod(0o500)

    done = trusting(tmp_path, sftp_server)

    assert done.returncode == 1
    assert f"error: cannot write {file}: Permission denied" in done.stderr
    assert [one.name for one in file.parent.iterdir()] == ["known_hosts"]
    assert file.read_text() == "# mine\n"


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path, sftp_server: Sshd) -> None:
    home = tmp_path / "not mounted"

    done = trusting(home, sftp_server)

    assert done.returncode == 1
    assert f"error: cannot write {home}/.ssh/known_hosts: No such file" in done.stderr
    assert not home.exists()


def test_a_first_known_host_makes_the_directory(tmp_path: Path, sftp_server: Sshd) -> None:
    done = trusting(tmp_path, sftp_server)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".ssh").stat().st_mode & 0o777 == 0o700
    assert sftp_server.host_key.split()[1] in (tmp_path / ".ssh/known_hosts").read_text()


def test_of_many_hosts_trusted_at_once_none_is_lost(sftp_server: Sshd, tmp_path: Path) -> None:
    names = [f"host{number}" for number in range(12)]
    for name in names:
        more = [f"HostKeyAlias {name}"]
        config = sftp_server.config_for(tmp_path, name, more, known=False)
    met = [introduce(f"ssh://{name}", Options(config=config)) for name in names]
    together = threading.Barrier(len(names))

    def trust(number: int) -> None:
        together.wait()
        keep(met[number])

    threads = [threading.Thread(target=trust, args=(number,)) for number in range(len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    lines = config.with_name("known_hosts").read_text().splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(names)

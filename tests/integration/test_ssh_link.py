"""What a link does once it is open, by paramiko and by OpenSSH's client, with a real sshd."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from paramiko.message import Message

from tests.integration.ssh_side import Client
from tests.testbed.farhost import Account
from tests.testbed.sshd import Sshd
from transports.errors import ConnectionLost, Refused, TransportError
from transports.ssh import Link, binary
from transports.ssh.packets import DataMessage
from transports.ssh.transport import Transport

Start = Callable[..., Sshd]
KINDS = ["paramiko", "binary"]
ODD = ["a b", "it's", 'say "so"', "back\\slash", "two\nlines", "", "$HOME", "`id`", "!!", "a;b",
       "*", "ünï", "%s\\n", "~", "-n", "\t", "#", "@0101", "{a,b}", "x" * 999, "'\\''"]  # fmt: skip
ALIVE = {"alive_interval_s": 1.0, "alive_count": 2}


@pytest.fixture(scope="module")
def server(run_directory: Path) -> Iterator[Sshd]:
    noise = "echo Welcome; echo '*** MOTD ***' >&2; printf 'no line end'"
    account = Account(bashrc=noise)
    with Sshd(run_directory, account=account, banner="AUTHORIZED USE ONLY\n") as host:
        yield host


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    client = Client(tmp_path, request.param)
    yield client
    client.close()


@pytest.fixture
def link(client: Client, server: Sshd) -> Link:
    client.knows(server)
    return client.open()


def everything(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 18), b""))


def test_words_arrive_as_they_are_whatever_the_login_shell_prints(link):
    done = link.run(["printf", "<%s>", *ODD])

    assert done.stdout.decode() == "".join(f"<{word}>" for word in ODD)
    assert (done.status, done.stderr) == (0, "")


def test_a_login_shell_that_prints_without_an_end_is_given_up(
    client: Client, start_sshd: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary, "_START_S", 1.0)
    client.knows(start_sshd(account=Account(bashrc="yes noise\n")))
    link = client.open()

    with pytest.raises(TransportError, match=r"not run|not ended|not started"):
        link.run(["true"], timeout_s=2)


def test_status_and_stderr_are_the_commands_own(link):
    done = link.run(["sh", "-c", "echo oops >&2; exit 3"])

    assert (done.status, done.stdout, done.stderr) == (3, b"", "oops")


def test_what_comes_after_a_failure_s_status_is_heard(link):
    remote = link.start(["sh", "-c", "(sleep 0.2; echo why >&2) & exit 3"])

    done = remote.finished(10)

    remote.close()
    assert (done.status, done.stderr) == (3, "why")


def test_a_command_that_is_not_there_says_so(link):
    done = link.run(["no-such-command"])

    assert done.status == 127
    assert "no-such-command" in done.stderr


def test_a_command_that_a_signal_ends_is_no_lost_link(link):
    done = link.run(["sh", "-c", "kill -9 $$"])

    assert done.status == 255
    assert link.run(["true"]).status == 0


def test_bytes_go_both_ways_at_once(link):
    data = bytes(range(256)) * 40_000

    assert link.run(["cat"], stdin=data).stdout == data


def test_a_command_may_end_before_it_has_read_everything(link):
    done = link.run(["head", "-c", "3"], stdin=b"abc" * 1_000_000)

    assert done.stdout == b"abc"
    assert done.status == 0


def test_the_socket_can_be_polled_and_half_closed(link):
    remote = link.start(["sh", "-c", "read x; echo got $x; cat; echo end"])
    poll = select.poll()
    poll.register(remote.sock, select.POLLIN)

    assert poll.poll(50) == []
    remote.sock.sendall(b"one\n")
    assert poll.poll(20_000)
    assert remote.sock.recv(100) == b"got one\n"
    assert remote.finished(0.05) is None
    remote.sock.sendall(b"two")
    remote.sock.shutdown(socket.SHUT_WR)
    assert everything(remote.sock) == b"twoend\n"
    assert remote.finished(20).status == 0
    remote.close()


def test_who_does_not_read_stalls_nobody_else(link):
    stalled = link.start(["head", "-c", "30000000", "/dev/zero"])
    busy = [link.start(["head", "-c", "3000000", "/dev/zero"]) for _ in range(3)]

    assert [len(everything(remote.sock)) for remote in busy] == [3_000_000] * 3
    assert link.run(["echo", "alive"]).stdout == b"alive\n"
    assert len(everything(stalled.sock)) == 30_000_000
    for remote in (stalled, *busy):
        remote.close()


def test_who_does_not_listen_stalls_nobody_else(link):
    deaf = link.start(["sleep", "60"])
    deaf.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        deaf.sock.sendall(bytes(30_000_000))

    assert link.run(["wc", "-c"], stdin=bytes(3_000_000)).stdout.strip() == b"3000000"
    deaf.close()


def test_many_threads_share_a_link(link):
    wrong: list[int] = []

    def work(number: int) -> None:
        for size in range(0, 200_000, 67_001):
            data = bytes([number]) * size
            if link.run(["cat"], stdin=data).stdout != data:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_command_that_takes_too_long_is_let_go(link):
    with pytest.raises(TransportError, match=r"sleep on ssh://far has not ended within 0\.2 s"):
        link.run(["sleep", "60"], timeout_s=0.2)

    assert link.run(["true"]).status == 0


def test_a_command_that_is_let_go_does_not_live_on(link, server, tmp_path):
    remote = link.start(["sh", "-c", "echo ready; cat >/dev/null; touch ended"])
    assert remote.sock.recv(100) == b"ready\n"

    remote.close()

    deadline = time.monotonic() + 20
    while not (server.far.home / "ended").exists() and time.monotonic() < deadline:
        link.run(["true"])
    assert (server.far.home / "ended").exists()
    (server.far.home / "ended").unlink()


def test_a_shell_that_runs_no_commands_is_said_so(client, start_sshd: Start):
    host = start_sshd(account=Account(bashrc="echo This account is not for commands; exit 1"))
    client.knows(host)

    with pytest.raises((Refused, ConnectionLost), match="not for commands"):
        done = client.open().run(["true"])
        raise Refused(f"{done.status} {done.stderr}")  # by paramiko it is the command's outcome


@pytest.mark.parametrize("line", ["echo ready; sleep 100", "(echo ready; sleep 100) & exit 0"])
def test_a_killed_link_ends_every_socket(client, start_sshd: Start, line):
    """A server tells a command's status before it has sent what the command wrote."""
    host = start_sshd()
    client.knows(host)
    link = client.open()
    remote = link.start(["sh", "-c", line])
    assert remote.sock.recv(100) == b"ready\n"
    remote.sock.settimeout(1)
    with pytest.raises(TimeoutError):  # the status may come, and nothing else
        remote.sock.recv(100)

    host.kill_sessions()

    assert everything(remote.sock) == b""
    with pytest.raises(ConnectionLost, match="the connection to ssh://far was lost"):
        remote.finished(20)
    with pytest.raises(ConnectionLost, match="the connection to ssh://far was lost"):
        link.run(["true"])
    remote.close()


@pytest.mark.parametrize("ends", ["the command", "the user"])
def test_a_command_that_ends_while_data_go_to_it_ends_no_link(
    client, server, ends, monkeypatch: pytest.MonkeyPatch
):
    """OpenSSH's server disconnects whoever sends anything on a channel behind its end, which takes
    a thread that is held up just then."""
    at_once = Transport._send_user_message

    def held_up(self: Transport, data: Message | DataMessage) -> None:
        if isinstance(data, DataMessage):
            time.sleep(0.01)
        at_once(self, data)

    monkeypatch.setattr(Transport, "_send_user_message", held_up)
    client.knows(server)
    link = client.open()
    argv = ["head", "-c", "100000"] if ends == "the command" else ["cat"]
    for number in range(40):
        remote = link.start(argv)
        remote.sock.settimeout(20)
        sender = threading.Thread(target=send_much, args=(remote.sock,), daemon=True)
        sender.start()
        remote.sock.recv(1 + number * 1000)
        if ends == "the command":
            remote.finished(20)
        remote.close()
        sender.join(20)

    assert link.run(["echo", "there"]).stdout == b"there\n", server.log()


def send_much(sock: socket.socket) -> None:
    with suppress(OSError):  # it is closed, or nobody reads
        for _ in range(1000):
            sock.sendall(bytes(10_000))


@pytest.mark.parametrize("busy", ["idle", "sending", "receiving"])
def test_a_frozen_server_ends_the_link(client, start_sshd: Start, busy):
    host = start_sshd()
    client.knows(host)
    link = client.open(**ALIVE)
    words = {"idle": "cat", "sending": "cat >/dev/null", "receiving": "cat /dev/zero"}[busy]
    remote = link.start(["sh", "-c", f"echo ready; {words}"])
    assert remote.sock.recv(6) == b"ready\n"

    host.freeze()
    began = time.monotonic()
    if busy == "sending":
        with pytest.raises(OSError, match=r"Broken pipe|reset|timed out"):
            remote.sock.settimeout(30)
            remote.sock.sendall(bytes(100_000_000))
    else:
        everything(remote.sock)

    with pytest.raises(ConnectionLost, match="ssh://far"):
        remote.finished(20)
    assert time.monotonic() - began < 15
    host.thaw()
    remote.close()


def test_a_server_that_is_slow_is_not_taken_for_dead(client, start_sshd: Start):
    host = start_sshd()
    client.knows(host)
    link = client.open(**ALIVE)

    assert link.run(["sh", "-c", "sleep 4; echo there"]).stdout == b"there\n"


def test_keys_are_exchanged_anew_under_way(client, start_sshd: Start):
    host = start_sshd()
    client.knows(host, more=["RekeyLimit 1M"])
    link = client.open()
    data = bytes(range(256)) * 20_000

    for _ in range(2):
        assert link.run(["cat"], stdin=data).stdout == data


def test_nothing_is_left_when_a_link_is_closed(client, server):
    client.knows(server)
    before = {thread.ident for thread in threading.enumerate()}
    link = client.open()
    link.run(["true"])
    remote = link.start(["cat"])

    link.close()
    remote.close()
    link.close()

    left = [t for t in threading.enumerate() if t.ident not in before and t.is_alive()]
    for thread in left:
        thread.join(5)
    assert [thread for thread in left if thread.is_alive()] == []


def test_sftp_runs_beside_commands(link, server):
    session = link.sftp()
    handle = session.open("file", 2 | 8)
    session.write_all(handle, b"content" * 100_000, sync=True)

    assert link.run(["md5sum", "file"]).status == 0
    assert session.stat("file").size == 700_000
    session.remove("file")
    session.close()

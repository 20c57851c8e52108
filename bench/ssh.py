"""A link's streams: how fast bytes come and go through voltar's own, and through OpenSSH's client.

Both talk to one sshd on this machine, with the configuration that each has by default. By either
way a command is the same `Remote`, and its socket is read and written by the same lines.
"""

import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench import data, measure, table
from bench.asked import Asked
from bench.measure import Contestant, Series
from bench.programs import need
from tests.testbed.command import attempt
from tests.testbed.sshd import Sshd
from transports.ssh import Link, Options, open_link
from transports.ssh.link import ParamikoLink

SIZE = 1024 * data.MB
GOAL = 0.8
"""How many times as fast as OpenSSH's client a link is to be."""
_OURS = "voltar"
_BINARY = "voltar --ssh-binary"
_SAME = "voltar --ssh-binary, AES-GCM"
_CHACHA = "chacha20-poly1305@openssh.com"
_BLOCK = 1 << 20


def run(asked: Asked) -> table.Report:
    """Compare; returns the tables."""
    size = asked.size or SIZE
    with _links() as links:
        down: dict[str, Contestant] = {}
        up: dict[str, Contestant] = {}
        for name, link in links.items():
            down[name] = partial(measure.own, partial(_down, link, size))
            up[name] = partial(measure.own, partial(_up, link, size))
        took = {
            "down": measure.rounds(down, asked.rounds),
            "up": measure.rounds(up, asked.rounds),
        }
        ours = links[_OURS]
        cipher = ours.cipher if isinstance(ours, ParamikoLink) else "?"
    facts = [
        f"{size / 1e6:.0f} MB of zeros through a command's socket, not compressed; one sshd on "
        f"this machine; ciphers as each side likes best: {_OURS} {cipher}, OpenSSH {_CHACHA}",
        f"{_openssh()}; CPU s is this process alone, so it leaves out OpenSSH's",
        f"{asked.rounds} rounds, A B A B …; medians, (least..greatest)",
    ]
    verdicts = [
        table.verdict(
            f"{way}: a link of voltar against OpenSSH's client",
            series[_BINARY].median() / series[_OURS].median(),
            GOAL,
        )
        for way, series in took.items()
    ]
    tables = [_table(way, series, size) for way, series in took.items()]
    command = f"python -m bench ssh --rounds {asked.rounds}"
    return table.Report("Streams over SSH", command, facts, tables, verdicts)


def _openssh() -> str:
    """Return the client's version, which it says on stderr."""
    said = attempt([need("ssh"), "-V"]).stderr
    return said.decode().strip().partition(",")[0]


@contextmanager
def _links() -> Iterator[dict[str, Link]]:
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voltar-bench-")))
        place.chmod(0o755)  # who logs in has a home below it
        host = stack.enter_context(Sshd(place))
        options = {_OURS: Options(config=host.config_for(place / "home"))}
        client = str(need("ssh"))
        options[_BINARY] = Options(config=options[_OURS].config, binary=client)
        same = host.config_for(place / "same", more=["Ciphers aes128-gcm@openssh.com"])
        options[_SAME] = Options(config=same, binary=client)
        links = {}
        for name, each in options.items():
            links[name] = open_link("ssh://far", each)
            stack.callback(links[name].close)
        yield links


def _down(link: Link, size: int) -> None:
    buffer = bytearray(_BLOCK)
    with _command(link, f"head -c {size} /dev/zero") as sock:
        while sock.recv_into(buffer):
            pass


def _up(link: Link, size: int) -> None:
    block = bytes(_BLOCK)
    with _command(link, "cat >/dev/null") as sock:
        for _ in range(size // _BLOCK):
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)


@contextmanager
def _command(link: Link, script: str) -> Iterator[socket.socket]:
    remote = link.start(["sh", "-c", script])
    try:
        yield remote.sock
    finally:
        remote.close()


def _table(way: str, series: dict[str, Series], size: int) -> table.Table:
    rows = []
    for name, each in series.items():
        speed = f"{size / 1e6 / each.median():.0f}"
        cpu = each.median(lambda cost: cost.cpu_s)
        spread = table.spread(each.seconds)
        rows.append([name, f"{each.median():.2f}", f"({spread})", f"{cpu:.2f}", speed])
    return table.Table(way, ["", "seconds", "(spread)", "CPU s", "MB/s"], rows)

"""Images: what crosses the link, and how long it takes, where most layers are there already.

The target is behind a real sshd, and a proxy before that counts what comes; once as fast as the
machine allows, and once as slow as a link of 100 Mbit/s.
"""

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import zstandard

from backup.engine import connect
from backup.image.transfer import Options, send
from bench import data, measure, table
from bench.asked import Asked
from bench.bed import VOLTAR, environment_of, require_space
from bench.measure import Contestant, Cost, Series
from bench.programs import need, version
from tests.testbed import layered, workspace
from tests.testbed.command import run as command
from tests.testbed.engine import KINDS, OWN, Engine, Pool
from tests.testbed.layered import Made
from tests.testbed.proxy import Proxy
from tests.testbed.sshd import Sshd

SIZE = 400 * data.MB
TARGET = "28.5-classic"
FASTER, NEAR = 5.0, 1.05
LAYERS = 10
LINK = 100_000_000 // 8
_OURS = "voltar image send"
_PLAIN = "docker save | ssh docker load"
_KINDS_SIZE = 10 * data.MB


@dataclass(frozen=True, slots=True)
class Way:
    """Two engines, the second behind an sshd and a proxy; `base` is on both, `app` on the first."""

    source: Engine
    target: Engine
    proxy: Proxy
    home: Path
    base: Made
    app: Made
    wire: dict[str, list[int]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return environment_of(self.source) | {"HOME": str(self.home)}

    def ssh(self, *words: str) -> list[str | Path]:
        return [need("ssh"), "-F", self.home / ".ssh/config", "far", *words]


def run(asked: Asked) -> table.Report:
    """Compare; returns the tables."""
    size = asked.size or SIZE
    with way(size) as there:
        tables, verdicts = [], []
        for link, rate in (("this machine's loopback", None), ("100 Mbit/s", LINK)):
            there.proxy.slow(rate)
            there.wire.clear()
            series = measure.rounds(contestants(there), asked.rounds)
            tables.append(_table(f"Over {link}", series, there.wire))
            others = min(each.median() for name, each in series.items() if name != _OURS)
            ratio = others / series[_OURS].median()
            verdicts.append(table.verdict(f"{link}: the fastest other against us", ratio, FASTER))
        missing = there.app.layers[-1]
        packed = len(zstandard.ZstdCompressor(level=3).compress(missing))
        crossed = sorted(there.wire[_OURS])[len(there.wire[_OURS]) // 2]
        within = "within" if crossed <= packed * NEAR else "NOT within"
        verdicts.append(
            f"on the wire: {crossed / 1e6:.2f} MB, the missing layer by zstd -3: "
            f"{packed / 1e6:.2f} MB: {within} 5 %"
        )
    with kinds() as pool:
        tables.append(pairs(pool))
    facts = [
        f"an image of {LAYERS} layers, {size / 1e6:.0f} MB; all but one are on the target; from "
        f"Docker {OWN} to {TARGET}; layers are noise and text in equal parts",
        f"{version(need('docker'))}; a new connection each time; bytes are those to sshd's port, "
        "with what SSH adds",
        f"{asked.rounds} rounds, A B C A B C …; medians, (least..greatest); the disk is "
        "synced before each execution",
    ]
    return table.Report("Images", asked.command("image"), facts, tables, verdicts)


def contestants(there: Way) -> Mapping[str, Contestant]:
    """Those who bring the image to the target."""
    save: list[str | Path] = [need("docker"), "save", *there.app.tags]
    load = there.ssh("docker", "load")
    ours = [*VOLTAR, "image", "send", *there.app.tags, "--to", "ssh://far"]
    commands: dict[str, list[list[str | Path]]] = {
        _OURS: [list(ours)],
        _PLAIN: [save, load],
        "… gzip": [save, [need("gzip"), "-c"], load],
        "… zstd -T0": [save, [need("zstd"), "-qc", "-T0"], load],
    }
    return {name: partial(_carried, there, name, words) for name, words in commands.items()}


def _carried(there: Way, name: str, commands: list[list[str | Path]]) -> Cost:
    there.target.attempt("rmi", *there.app.tags)
    command(["sync"])
    before = there.proxy.carried["server"]
    cost = measure.pipeline(commands, env=there.environment)
    crossed = there.proxy.carried["server"] - before
    there.wire.setdefault(name, []).append(crossed)
    there.target.docker("image", "inspect", *there.app.tags)
    return replace(cost, stored=crossed)


@contextmanager
def way(size: int) -> Iterator[Way]:
    """Engines with the images that are to be sent."""
    with kinds() as pool, ExitStack() as stack:
        require_space(workspace.base(), 8 * size)
        source, target = pool.engine(OWN), pool.engine(TARGET)
        layers = [content(number, size // LAYERS) for number in range(LAYERS)]
        base, app = Made(["bench/base:1"], layers[:-1]), Made(["bench/app:1"], layers)
        source.docker("load", stdin=layered.archive([base, app]))
        target.docker("load", stdin=layered.archive([base]))
        host = Sshd(target.daemon.directory, target)
        stack.callback(host.close)
        proxy = stack.enter_context(Proxy(host.port))
        home = target.daemon.directory / "home"
        _configure(home, host, proxy.port)
        there = Way(source, target, proxy, home, base, app)
        command([*VOLTAR, "--version"], env=there.environment)  # its byte code is kept then
        yield there


@contextmanager
def kinds() -> Iterator[Pool]:
    """Engines of all kinds, started when asked for."""
    own = workspace.Run()
    os.environ["TMPDIR"] = str(own.tmp)
    try:
        pool = Pool(own)
        try:
            yield pool
        finally:
            pool.close()
    finally:
        own.close()


def _configure(home: Path, host: Sshd, port: int) -> None:
    directory = home / ".ssh"
    directory.mkdir(parents=True, mode=0o700)
    known = directory / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {' '.join(host.host_key.split()[:2])}\n")
    (directory / "config").write_text(
        f"Host far\n  HostName 127.0.0.1\n  Port {port}\n  User {host.user}\n"
        f"  IdentityFile {host.client_key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n"
    )


def content(number: int, size: int) -> bytes:
    """A layer of one file: pieces of noise and of text in turn."""
    dice = random.Random(number)
    words = [dice.randbytes(6).hex().encode() for _ in range(200)]
    pieces = []
    for _ in range(max(1, size >> 17)):
        pieces.append(dice.randbytes(1 << 16))
        pieces.append(b" ".join(dice.choices(words, k=(1 << 16) // 13)))
    return layered.layer(f"layer-{number}", 0, content=b"".join(pieces))


def pairs(pool: Pool) -> table.Table:
    """What is sent between engines of all kinds, for the second of two images."""
    rows: list[list[str]] = []
    for one in KINDS:
        for other in KINDS:
            if one != other:
                rows.append(_pair(pool.engine(one), pool.engine(other), len(rows)))
    head = ["", "layers there", "missing MB", "sent MB", "of MB"]
    return table.Table("What is sent, uncompressed, from one kind to another", head, rows)


def _pair(source: Engine, target: Engine, number: int) -> list[str]:
    layers = [content(100 * number + n, _KINDS_SIZE // 4) for n in range(4)]
    base, app = Made([f"bench/base:{number}"], layers[:3]), Made([f"bench/app:{number}"], layers)
    source.docker("load", stdin=layered.archive([base, app]))
    with connect(source.url, environ={}) as here, connect(target.url, environ={}) as there:
        list(send(here, there, base.tags, Options()))
        (sent,) = send(here, there, app.tags, Options())
    sizes = (sent.missing, sent.sent, sent.size)
    amounts = [f"{each / 1e6:.2f}" for each in sizes]
    return [f"{source.kind} to {target.kind}", f"{sent.there} of {sent.layers}", *amounts]


def _table(title: str, series: Mapping[str, Series], wire: Mapping[str, list[int]]) -> table.Table:
    ours = series[_OURS].median()
    rows = [
        [
            name,
            f"{each.median():.2f}",
            f"({table.spread(each.seconds)})",
            f"{sorted(wire[name])[len(wire[name]) // 2] / 1e6:.2f}",
            f"{each.median() / ours:.2f} x",
        ]
        for name, each in series.items()
    ]
    head = ["", "seconds", "(spread)", "MB on the wire", "voltar is faster by"]
    return table.Table(title, head, rows)

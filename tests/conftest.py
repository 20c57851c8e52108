"""Fixtures and markers only; how the engines come about is in tests/testbed.

    engine         the engine that tests share: a private 20.10, or that of VOLTAR_TEST_ENGINE
    every_engine   the same for 20.10, 28.5-classic and 28.5-containerd: the test runs three times
    start_engine   start_engine(kind="20.10", shared=True): one more, for a test that breaks it
    scratch        volumes, containers and images on the test's engine, removed after the test
    image          the name of an image with a shell and the usual tools, on that same engine
    listener       a web server that remembers what it was told
    moto           an S3 server that does as Amazon's; rclone_s3: one with quirks; shared by all
    sftp_server    an sshd on this machine, shared by all
    ssh_host       a real sshd on the host of the test's engine, shared by the tests
    start_sshd     start_sshd(engine=None, account=None, options=[…]): one more, ended with the test
    run_directory  a directory that shared engines see at the same path; tmp_path is below it

An engine that cannot be had fails the tests that need it. With VOLTAR_TEST_ENGINE the tests that
kill or configure an engine (with `start_engine`, or marked `private`) or log in on its host (with
`ssh_host`) are deselected, and the summary says so.

With `-n 3` three workers (pytest-xdist) divide the tests, each with a directory and engines of its
own; what they found out for the summary is handed to the process that prints it.
"""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.testbed import buckets, debian, images, leaks
from tests.testbed.command import located
from tests.testbed.engine import KINDS, OWN, Engine, Pool
from tests.testbed.farhost import Account
from tests.testbed.listener import Listener
from tests.testbed.scratch import Scratch
from tests.testbed.sshd import Sshd
from tests.testbed.workspace import Run

settings.register_profile("voltar", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("voltar")

ORDER = ("unit", "golden", "property", "conformance", "model", "fault", "integration", "acceptance")
GIVEN = os.environ.get("VOLTAR_TEST_ENGINE") or None
RUN: pytest.StashKey[Run] = pytest.StashKey()
POOL: pytest.StashKey[Pool] = pytest.StashKey()
DESELECTED: pytest.StashKey[int] = pytest.StashKey()
ENGINES: pytest.StashKey[dict[str, str]] = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put temporary files where private engines see them; they need root. Forget who is whose in
    AWS: clients of S3 read that, tests must not. Let interrupts come, here and in what is started:
    a shell has what runs in its background ignore them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    config.stash[ENGINES] = {}
    worker = hasattr(config, "workerinput")
    if (
        os.geteuid() == 0
        and Path("/proc/self/mountinfo").exists()
        and not config.option.collectonly
        and (worker or not getattr(config.option, "numprocesses", None))
    ):
        run = config.stash[RUN] = Run()
        given = None if worker else config.option.basetemp
        config.option.basetemp = given or str(run.tmp / "pytest")
        os.environ["TMPDIR"] = str(run.tmp)
        os.environ["VOLTAR_STATE_DIRECTORY"] = str(run.tmp / "state")
        tempfile.tempdir = None
        config.add_cleanup(run.close)
        if located("apt-get"):
            debian.require(debian.TEST_TOOLS)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with `every_engine` once per kind."""
    if "every_engine" in metafunc.fixturenames:
        kinds = ["given"] if GIVEN else list(KINDS)
        metafunc.parametrize("every_engine", kinds, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Quickest first; without what needs a private engine when one was given."""
    items.sort(key=rank)
    if GIVEN:
        private = [item for item in items if needs_private_engine(item)]
        items[:] = [item for item in items if item not in private]
        config.hook.pytest_deselected(items=private)
        config.stash[DESELECTED] = len(private)


def needs_private_engine(item: pytest.Item) -> bool:
    """Whether a test kills or configures an engine, which nobody's engine but ours may suffer."""
    starts = {"start_engine", "ssh_host"} & set(getattr(item, "fixturenames", ()))
    return bool(starts) or item.get_closest_marker("private") is not None


def rank(item: pytest.Item) -> int:
    """The place of a test's directory in ORDER; unknown ones come last."""
    area = item.path.relative_to(Path(__file__).parent).parts[0]
    return ORDER.index(area) if area in ORDER else len(ORDER)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Note what the summary tells; a worker hands it on."""
    config = session.config
    if POOL in config.stash:
        config.stash[ENGINES] |= config.stash[POOL].versions
    handed_on = getattr(config, "workeroutput", {})
    handed_on["engines"] = config.stash[ENGINES]
    handed_on["deselected"] = config.stash.get(DESELECTED, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker noted; one that crashed has noted nothing."""
    said = getattr(node, "workeroutput", {})
    node.config.stash[ENGINES] |= said.get("engines", {})
    node.config.stash[DESELECTED] = said.get("deselected", 0)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which engines the tests ran on, and what did not run."""
    said = ", ".join(f"{kind} is {version}" for kind, version in config.stash[ENGINES].items())
    terminalreporter.write_line(f"engines: {said or 'none was needed'}")
    if count := config.stash.get(DESELECTED, 0):
        said = f"{count} tests that kill or configure an engine did not run"
        terminalreporter.write_line(f"VOLTAR_TEST_ENGINE={GIVEN}: {said}", red=True)


@pytest.fixture(scope="session")
def pool(pytestconfig: pytest.Config) -> Iterator[Pool]:
    """The engines of this session, started when first asked for; nothing may be left on them."""
    run = pytestconfig.stash.get(RUN, None)
    pool = pytestconfig.stash[POOL] = Pool(run, given=GIVEN)
    try:
        yield pool
        left = [line for engine in pool.running() for line in leaks.on_engine(engine)]
    finally:
        pool.close()
    assert not left + leaks.processes(os.getpid()), "the tests left something running"


@pytest.fixture(scope="session")
def run_directory(pool: Pool, pytestconfig: pytest.Config) -> Path:
    """A directory that shared engines see at the same path."""
    run = pytestconfig.stash.get(RUN, None)
    return run.tmp if run else Path(tempfile.gettempdir())


@pytest.fixture(scope="session")
def engine(pool: Pool) -> Engine:
    """The engine that tests share."""
    return pool.engine(OWN)


@pytest.fixture(scope="session")
def every_engine(pool: Pool, request: pytest.FixtureRequest) -> Engine:
    """Each kind of engine in turn."""
    return pool.engine(request.param)


@pytest.fixture(scope="session")
def moto(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[buckets.BucketServer]:
    """An S3 server that knows what Amazon documents."""
    with buckets.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_s3(
    pool: Pool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[buckets.BucketServer]:
    """An S3 server that calls itself experimental."""
    with buckets.rclone_s3(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="session")
def sftp_server(run_directory: Path) -> Iterator[Sshd]:
    """An sshd on this machine."""
    with Sshd(run_directory) as host:
        yield host


@pytest.fixture
def start_engine(pool: Pool) -> Iterator[Callable[..., Engine]]:
    """Start private engines that end with the test."""
    started: list[Engine] = []

    def start(kind: str = OWN, *, shared: bool = True) -> Engine:
        started.append(pool.start(kind, shared=shared))
        return started[-1]

    yield start
    for engine in started:
        engine.stop()


@pytest.fixture(scope="session")
def ssh_hosts(pool: Pool, run_directory: Path) -> Iterator[dict[str, Sshd]]:
    """The servers that tests share, by kind of engine; nothing may be left behind them."""
    hosts: dict[str, Sshd] = {}
    yield hosts
    left = [line for host in hosts.values() for line in leaks.on_far_host(host)]
    for host in hosts.values():
        host.close()
    assert not left, "the tests left something on a far host"


@pytest.fixture
def ssh_host(
    request: pytest.FixtureRequest, ssh_hosts: dict[str, Sshd], run_directory: Path
) -> Sshd:
    """A real sshd on the host of this test's engine; its user is not root, but may use docker."""
    name = "every_engine" if "every_engine" in request.fixturenames else "engine"
    engine: Engine = request.getfixturevalue(name)
    if engine.kind not in ssh_hosts:
        ssh_hosts[engine.kind] = Sshd(run_directory, engine)
    return ssh_hosts[engine.kind]


@pytest.fixture
def start_sshd(run_directory: Path) -> Iterator[Callable[..., Sshd]]:
    """Start servers that end with the test; without an engine they serve this machine."""
    started: list[Sshd] = []

    def start(engine: Engine | None = None, account: Account | None = None, **more: Any) -> Sshd:
        started.append(Sshd(run_directory, engine, account, **more))
        return started[-1]

    yield start
    for host in started:
        host.close()


@pytest.fixture
def scratch(request: pytest.FixtureRequest) -> Iterator[Scratch]:
    """Things on the engine of this test that are removed after it."""
    name = "every_engine" if "every_engine" in request.fixturenames else "engine"
    with Scratch(request.getfixturevalue(name)) as scratch:
        yield scratch


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as found:
        yield found


@pytest.fixture
def image(scratch: Scratch) -> str:
    """An image with a shell and the usual tools."""
    return images.tools(scratch.engine)

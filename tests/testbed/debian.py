"""Packages of Debian: installed on this machine, or of another release unpacked beside it.

Where Debian is comes from this machine's own apt configuration. Installing needs Debian and root;
elsewhere the missing commands are named in one sentence, and nothing is changed.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.testbed import workspace
from tests.testbed.command import BedFailure, located, run

ENGINE_TOOLS: Mapping[str, str] = {
    "dockerd": "docker.io",
    "docker": "docker-cli",
    "ip": "iproute2",
    "iptables": "iptables",
    "ps": "procps",  # `docker top` runs it
}
TEST_TOOLS: Mapping[str, str] = {
    "setfattr": "attr",
    "setfacl": "acl",
    "busybox": "busybox-static",
    "bsdtar": "libarchive-tools",
    "mkfs.ext4": "e2fsprogs",
    "setcap": "libcap2-bin",
    "zstd": "zstd",
    "strace": "strace",
    "systemd-analyze": "systemd",
}
POLICY = Path("/usr/sbin/policy-rc.d")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def require_engine_tools() -> None:
    """See to it that a private engine can be started here."""
    if os.uname().sysname != "Linux" or os.geteuid() != 0:
        raise BedFailure(
            "private engines need Linux and root; VOLTAR_TEST_ENGINE=URL names another engine"
        )
    require(ENGINE_TOOLS)


def require(tools: Mapping[str, str]) -> None:
    """See to it that commands are here; `tools` maps each to the package that has it."""
    if missing := [name for name in tools if not located(name)]:
        with workspace.locked(workspace.base() / "apt.lock"):
            missing = [name for name in missing if not located(name)]
            if missing:
                install(missing, tools)


def install(missing: Sequence[str], tools: Mapping[str, str]) -> None:
    """Install the packages that have the missing commands."""
    if not located("apt-get") or os.geteuid() != 0:
        raise BedFailure(
            f"the test bed needs {', '.join(missing)}: install them, or run as root on Debian"
        )
    wanted = [tools[name] for name in missing]
    # Before trixie docker.io has the docker command too, and there is no docker-cli.
    if "docker-cli" in wanted and "docker.io" in wanted:
        wanted.remove("docker-cli")
    apt_get("update")
    with services_stay_down():
        apt_get("install", "-y", "--no-install-recommends", *wanted)
        if not located("docker") and "docker" in missing:
            apt_get("install", "-y", "--no-install-recommends", "docker-cli")
    if still := [name for name in missing if not located(name)]:
        raise BedFailure(f"installed {' '.join(wanted)}, but there is still no {', '.join(still)}")


def apt_get(*words: str, options: Sequence[str] = (), directory: Path | None = None) -> None:
    """Run apt-get, without questions."""
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    argv = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3", *options]
    run(["env", "-C", directory or Path("/"), *argv, *words], env=env)


@contextmanager
def services_stay_down() -> Iterator[None]:
    """Keep docker.io from starting a system engine, which would take the host's bridge."""
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\n# voltar's test bed installs packages\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink()


def unpack(suite: str, packages: Sequence[str]) -> Path:
    """A directory with a release's packages and all they depend on, unpacked once for all runs."""
    wanted = " ".join(packages)
    # Another list is another directory: engines of other work trees may run on the former one.
    name = f"{suite}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
    root = workspace.base() / "roots" / name
    complete = root.with_name(f"{name}.complete")
    with workspace.locked(root.with_name(f"{name}.lock")):
        if not complete.exists():
            shutil.rmtree(root, ignore_errors=True)
            fill(root, suite, packages)
            complete.write_text(wanted)
    return root


def fill(root: Path, suite: str, packages: Sequence[str]) -> None:
    """Download packages and their dependencies, with an apt state of its own, and unpack them."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    with tempfile.TemporaryDirectory(dir=root.parent) as temporary:
        state = Path(temporary)
        for name in ("lists/partial", "cache/archives/partial", "sources"):
            (state / name).mkdir(parents=True)
        (state / "status").touch()
        signed = f"[signed-by={KEYRING}]"
        (state / "sources/s.list").write_text(f"deb {signed} {archive()} {suite} main\n")
        options = apt_options(state)
        apt_get("update", options=options)
        apt_get("install", "--download-only", "-y", *packages, options=options)
        for package in sorted((state / "cache/archives").glob("*.deb")):
            fields = state / "data.tar"
            fields.write_bytes(run(["dpkg-deb", "--fsys-tarfile", package]))
            run(["tar", "-xpf", fields, "--keep-directory-symlink", "-C", root])


def apt_options(state: Path) -> list[str]:
    """Options that make apt-get forget this machine's own lists, sources and installed packages."""
    settings = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": state / "sources",
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def archive() -> str:
    """The archive of Debian that this machine's apt is configured to use."""
    if not located("apt-get") or not located("dpkg-deb"):
        raise BedFailure(
            "engines of other releases come from Debian's packages: they need a Debian machine"
        )
    if not (found := archives()):
        apt_get("update")  # without lists apt does not know whose archive is whose
        found = archives()
    if not found:
        raise BedFailure(
            "engines of other releases come from Debian, and apt here knows none of it"
        )
    return found[0]


def archives() -> list[str]:
    """The archives that apt knows to be Debian's."""
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)"]).decode()
    lines = (line.partition(" ") for line in listed.splitlines())
    return [uri for uri, _, names in lines if names == "Debian Debian"]

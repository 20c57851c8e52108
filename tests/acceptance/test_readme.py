"""What README.md says about other hosts, typed as it stands there.

Only names differ: those of hosts are names in an ssh_config, as anybody would have them, the
bucket and its server are the test bed's, and directories are the test's own.
"""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.cli import Result, Voltar
from tests.acceptance.files import fill
from tests.conformance.stores import with_keys
from tests.testbed import buckets, images, layered
from tests.testbed.engine import Engine
from tests.testbed.layered import Made
from tests.testbed.sshd import Sshd

README = Path(__file__).parents[2] / "README.md"
SECTION = "## Other hosts"
BUCKET = "readme"


def commands() -> list[list[str]]:
    """The words of each command of the section, without `voltar` and the comments."""
    text = README.read_text().partition(SECTION)[2].partition("\n## ")[0]
    lines = [line.strip() for line in text.splitlines() if line.startswith("    voltar ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.fixture
def web1(start_engine: Callable[..., Engine]) -> Engine:
    """The engine of the host web1, with a container `db`, its volume and the image app:2."""
    engine = start_engine("20.10", shared=False)
    tools = images.build(engine, "service", images.TOOLS, changes=["CMD sleep 1000"])
    engine.docker("run", "-d", "--init", "--name", "db", "-v", "pgdata:/data", tools)
    fill(engine.volume_directory("pgdata"), {"rows": b"precious\n" * 1000})
    layers = [layered.layer(name, 200_000) for name in "abc"]
    engine.docker("load", stdin=layered.archive([Made(["app:2"], layers)]))
    return engine


@pytest.fixture
def web2(start_engine: Callable[..., Engine]) -> Engine:
    """The engine of the host web2, which keeps images otherwise, and has two layers of app:2."""
    engine = start_engine("28.5-containerd", shared=False)
    layers = [layered.layer(name, 200_000) for name in "ab"]
    engine.docker("load", stdin=layered.archive([Made(["app:1"], layers)]))
    return engine


@pytest.fixture
def typed(
    voltar: Voltar,
    tmp_path: Path,
    web1: Engine,
    web2: Engine,
    moto: buckets.BucketServer,
    start_sshd: Callable[..., Sshd],
) -> Callable[[list[str]], Result]:
    """Type a command at a machine from which both hosts, the NAS and the bucket are reached."""
    here = start_sshd()
    hosts = {"web1": start_sshd(web1), "web2": start_sshd(web2), "nas": here}
    for name, host in hosts.items():
        host.config_for(voltar.home, name, known=name != "web1")
    moto.make(BUCKET)
    nas = here.far.home / "voltar"
    replaced = {
        "backup@": "",
        "root@": "",
        "nas/srv/voltar": f"nas{nas}",
        "s3://backups/": f"s3://{BUCKET}/",
        "https://minio.example.org:9000": f"{moto.endpoint}&region=us-east-1&profile=testbed",
        "/srv/backup": str(voltar.repository),
    }
    keys = with_keys(tmp_path)
    more = {"VOLTAR_FROM_PASSWORD": str(voltar.password), **keys}
    at = voltar.changed(url="ssh://web1", more=more)

    def typed(words: list[str]) -> Result:
        for old, new in replaced.items():
            words = [word.replace(old, new) for word in words]
        # nobody sits at a terminal to say yes
        unasked = ["--fingerprint", hosts["web1"].fingerprint] if words[0] == "host" else []
        return at(*words, *unasked)

    return typed


def test_what_the_readme_says_of_other_hosts_is_true(
    typed: Callable[[list[str]], Result], web1: Engine, web2: Engine
) -> None:
    said = {" ".join(words): typed(words) for words in commands()}

    assert len(said) >= 10
    (sent,) = (result for words, result in said.items() if words.startswith("image send"))
    assert "2 of 3 layers already there" in sent.said
    assert web2.docker("image", "inspect", "--format", "{{len .RootFS.Layers}}", "app:2") == "3"
    assert web2.docker("inspect", "--format", "{{.State.Running}}", "db") == "true"
    assert (web2.volume_directory("pgdata") / "rows").read_bytes() == b"precious\n" * 1000
    assert web1.docker("ps", "--all", "--quiet", "--filter", "name=^db$") == ""  # it was finished

"""What hooks and assertions print of secrets is kept and sent nowhere."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.cli import PASSWORD, Voltar
from tests.acceptance.test_jobs import configured
from tests.testbed.listener import Listener
from tests.testbed.scratch import Scratch

IN_CONTAINER, IN_ENVIRONMENT, IN_URL = (
    f"{word}-{os.getpid()}" for word in ("Contained", "Environed", "Urlish")
)
SECRETS = (IN_CONTAINER, IN_ENVIRONMENT, IN_URL, "apprise-pass-72", "ping-token-4712", PASSWORD)


def hook(when: str, command: str, container: str = "") -> str:
    where = f', container = "{container}"' if container else ""
    return (
        f'{{ when = "{when}", command = ["sh", "-c", {json.dumps(command)}], '
        f'on-error = "warn"{where} }}'
    )


def kept(home: Path) -> Iterator[tuple[Path, bytes]]:
    """All that voltar has written about its runs."""
    for path in home.rglob("*"):
        if path.is_file() and path.name not in ("voltar.toml", "password", "urls"):
            yield path, path.read_bytes()


def test_what_hooks_and_assertions_print_of_secrets_reaches_nobody(
    voltar: Voltar, scratch: Scratch, image: str, listener: Listener
) -> None:
    options = ["-v", f"{scratch.volume()}:/data", "-e", f"DB_PASSWORD={IN_CONTAINER}"]
    name = scratch.running(image, "sleep", "1000", options=options)
    host = f"127.0.0.1:{listener.port}"
    urls = voltar.home / "urls"
    urls.write_text(f"json://me:apprise-pass-72@{host}/told\n")
    secret = voltar.home / "password"
    shouts = f"env; cat {secret} {urls} {voltar.home}/voltar.toml"
    hooks = [
        hook("before", f"{shouts}; false"),
        hook("after", shouts),
        hook("before", "env; sleep 9", name).replace("warn", 'warn", timeout = "1s'),
        hook("after", "env; echo password=$DB_PASSWORD >&2; false", name),
    ]
    jobs = configured(
        voltar,
        f'[jobs.n]\ncontainers = ["{name}"]\nping = "http://{host}/ping-token-4712"\n'
        f"hooks = [{', '.join(hooks)}]\n"
        f'drill = {{ assert = ["sh", "-c", "env; false"], settle = "1s" }}\n'
        f'[notify]\nurls-file = "{urls}"\n',
    ).changed(
        more={
            "SHOP_TOKEN": IN_ENVIRONMENT,
            "SHOP_URL": f"postgres://shop:{IN_URL}@db/shop",
        }
    )
    report = [voltar.home / f"drill.{kind}" for kind in ("xml", "prom", "json")]

    said = [jobs("-v", "run", "n", code=3).said]
    drilled = jobs("--json", "drill", "n", "--junit", report[0], "--prometheus", report[1], code=1)
    report[2].write_text(drilled.said)
    said += [drilled.said, *(jobs("log", *each).text for each in ([], ["--json"]))]
    said += [voltar("snapshots", "--json").text, *(one.body for one in listener.heard)]

    assert "DB_PASSWORD=***" in said[0]
    assert "password=***" in said[0]
    assert "SHOP_TOKEN=***" in said[0]
    assert "DB_PASSWORD=***" in drilled.said
    assert any("failed" in each.body for each in listener.heard)
    for word in SECRETS:
        assert not [each for each in said if word in each], word
        assert not [path for path, data in kept(voltar.home) if word.encode() in data], word

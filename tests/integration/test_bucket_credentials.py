"""Whose keys a store in a bucket shows, as the server sees them."""

import base64
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from transports.errors import ObjectNotFound
from transports.store import Settings, open_store


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server that has nothing: its URL, and the credentials that clients have shown."""
    shown: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Note who asks; what is asked for is not there."""
            shown.append(self.headers.get("Authorization", "nobody's"))
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            """Tell nobody."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", shown
        server.shutdown()
        thread.join()


CHAINS = {
    "environment": ({"AWS_ACCESS_KEY_ID": "AKENV", "AWS_SECRET_ACCESS_KEY": "x"}, "AKENV/"),
    "default profile": ({}, "AKFILE/"),
    "named profile": ({"AWS_PROFILE": "work"}, "AKWORK/"),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_the_usual_chain_leads_to_keys(asked, tmp_path, monkeypatch, chain):
    url, shown = asked
    more, expected = CHAINS[chain]
    (tmp_path / ".aws").mkdir()
    keys = "[{}]\naws_access_key_id = {}\naws_secret_access_key = x\n"
    (tmp_path / ".aws/credentials").write_text(
        keys.format("default", "AKFILE") + keys.format("work", "AKWORK")
    )
    for name, value in ({"HOME": str(tmp_path)} | more).items():
        monkeypatch.setenv(name, value)
    store = open_store(
        f"s3://bucket/a?endpoint={url}&region=us-east-1", Settings(environ=dict(os.environ))
    )

    with pytest.raises(ObjectNotFound):
        store.get("packs/a")
    store.close()

    assert [f"Credential={expected}" in one for one in shown] == [True]


def test_a_key_of_azure_is_shown(asked, monkeypatch):
    url, shown = asked
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"secret").decode())
    store = open_store(f"az://container/a?account=me&endpoint={url}")

    with pytest.raises(ObjectNotFound):
        store.get("packs/a")
    store.close()

    assert [one.startswith("SharedKey me:") for one in shown] == [True]

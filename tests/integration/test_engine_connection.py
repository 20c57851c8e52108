"""Reaching an engine, by every way there is, and what is said when it cannot be reached."""

import datetime
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from backup.engine import Access, Attached, connect, helper, labelled, survey
from backup.errors import ConfigError, EngineUnavailable
from tests.testbed import engine as testbed
from tests.testbed.scratch import Scratch


def authority(directory: Path) -> Path:
    """A directory with ca.pem, and cert.pem and key.pem that it signed for 127.0.0.1."""
    directory.mkdir()
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine")])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(ca_name, subject, public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )

    ca = builder(ca_name, ca_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    leaf = builder(name, key.public_key()).add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
        critical=False,
    )
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    leaf = leaf.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    for file, made in (("ca", ca), ("cert", leaf)):
        signed = made.sign(ca_key, hashes.SHA256())
        (directory / f"{file}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return directory


def mutual(certificates: Path) -> ssl.SSLContext:
    """A server's TLS that demands a certificate of the client."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # of our making, by Docker's recipe
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def relay(target: Path, certificates: Path | None = None) -> Iterator[str]:
    """A TCP port of 127.0.0.1 in front of an engine's socket, with mutual TLS if asked for."""
    context = mutual(certificates) if certificates else None
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        threads: list[threading.Thread] = []

        def spawn(function: Callable[..., None], *args: object) -> None:
            threads.append(threading.Thread(target=function, args=args))
            threads[-1].start()

        def serve(connection: socket.socket) -> None:
            with connection, socket.socket(socket.AF_UNIX) as engine, suppress(OSError):
                inside = (
                    context.wrap_socket(connection, server_side=True) if context else connection
                )
                with inside:
                    engine.connect(str(target))
                    back = threading.Thread(target=pump, args=(engine, inside))
                    back.start()
                    pump(inside, engine)
                    back.join()

        def accept() -> None:
            with suppress(OSError):
                while True:
                    spawn(serve, listener.accept()[0])

        spawn(accept)
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Copy until the source ends, then end the target in both directions."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def environment(certificates: Path) -> dict[str, str]:
    return {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_bytes_travel_over_tcp(
    engine: testbed.Engine, scratch: Scratch, tmp_path: Path, tls: bool
) -> None:
    certificates = authority(tmp_path / "certs") if tls else None
    environ = (environment(certificates) if certificates else {}) | {"VOLTAR_DATA_PLANE": "attach"}
    content = os.urandom(3_000_000)
    socket_path = Path(engine.url.removeprefix("unix://"))
    mounts = (Attached(scratch.volume(), "/v"),)

    with (
        relay(socket_path, certificates) as url,
        connect(url, environ=environ) as voltar,
        helper(voltar, mounts, access=Access.WRITE, run="t") as h,
    ):
        h.writing(["dd", "of=/v/file", "status=none"], [content])
        with h.reading(["cat", "/v/file"]) as stream:
            read = b"".join(bytes(block) for block in stream)

    assert read == content


def test_an_engine_with_another_authority_is_refused(
    engine: testbed.Engine, tmp_path: Path
) -> None:
    ours, theirs = authority(tmp_path / "ours"), authority(tmp_path / "theirs")

    with (
        relay(Path(engine.url.removeprefix("unix://")), theirs) as url,
        pytest.raises(EngineUnavailable, match="its certificate is not accepted") as caught,
    ):
        connect(url, environ=environment(ours))

    assert "ca.pem" in str(caught.value.hint)


def test_an_engine_that_refuses_our_certificate_is_told(
    engine: testbed.Engine, tmp_path: Path
) -> None:
    certificates = authority(tmp_path / "certs")
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "ca.pem").write_bytes((certificates / "ca.pem").read_bytes())

    with (
        relay(Path(engine.url.removeprefix("unix://")), certificates) as url,
        pytest.raises(EngineUnavailable, match=r"does not accept our certificate|broke off"),
    ):
        connect(url, environ=environment(bare))


def test_speaking_plainly_to_tls_is_explained(engine: testbed.Engine, tmp_path: Path) -> None:
    certificates = authority(tmp_path / "certs")

    with (
        relay(Path(engine.url.removeprefix("unix://")), certificates) as url,
        pytest.raises(EngineUnavailable) as caught,
    ):
        connect(url, environ={})

    assert "DOCKER_TLS_VERIFY" in str(caught.value.hint)


def test_speaking_tls_to_a_plain_engine_is_explained(
    engine: testbed.Engine, tmp_path: Path
) -> None:
    certificates = authority(tmp_path / "certs")

    with (
        relay(Path(engine.url.removeprefix("unix://"))) as url,
        pytest.raises(EngineUnavailable, match="does not speak TLS"),
    ):
        connect(url, environ=environment(certificates))


def test_a_missing_socket_is_explained(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="there is no such socket") as caught:
        connect(f"unix://{tmp_path}/none", environ={})

    assert "systemctl start docker" in str(caught.value.hint)


def test_a_port_where_nothing_listens_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(EngineUnavailable, match=rf"127\.0\.0\.1:{port}.*nothing listens there"):
        connect(f"tcp://127.0.0.1:{port}", environ={})


def test_a_socket_that_may_not_be_used_is_explained(engine: testbed.Engine) -> None:
    """As a user who is not in the group docker sees it."""
    script = f"""
import os, sys
from backup.engine import client, connect  # before nothing can be read any more
from backup.errors import EngineUnavailable
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    connect({engine.url!r}, environ={{}})
except EngineUnavailable as err:
    print(err, "|", err.hint)
"""
    root = Path(__file__).parents[2]

    said = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, check=True, text=True
    ).stdout

    assert "permission denied" in said
    assert "add the user to the group docker, or use sudo" in said


def test_the_current_context_leads_to_the_engine(engine: testbed.Engine, tmp_path: Path) -> None:
    made = ["context", "create", "here", "--docker", f"host={engine.url}"]
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    docker = [str(testbed.docker_command())]
    subprocess.run([*docker, *made], env=os.environ | environ, check=True, capture_output=True)
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "here"}))

    with connect(environ=environ) as voltar:
        assert (voltar.url, voltar.address.origin) == (
            engine.url,
            "the current docker context 'here'",
        )


def test_an_impossible_data_plane_is_refused(engine: testbed.Engine) -> None:
    with pytest.raises(ConfigError, match="VOLTAR_DATA_PLANE is 'pigeon'"):
        connect(engine.url, environ={"VOLTAR_DATA_PLANE": "pigeon"})


def test_an_engine_that_shares_no_directory_gets_the_other_plane(
    start_engine: Callable[..., testbed.Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    tempfile.gettempdir()  # remembered for the tests that follow
    monkeypatch.delenv("TMPDIR")  # the engine would look for it
    bed = start_engine("28.5-classic", shared=False)

    with connect(bed.url, environ={}) as voltar:
        found = survey(voltar)

    assert (found.data_plane, found.image_store) == ("attach", "classic")
    assert "no directory is shared" in found.data_plane_why

    with (
        connect(bed.url, environ={}) as voltar,
        helper(voltar, (), access=Access.READ, run="t", labels={"a": "b"}) as h,
    ):
        assert h.data_plane == "attach"
        assert h.run(["cat", h.place("file", [b"through the engine"])]) == b"through the engine"
        assert labelled(voltar, "a", "b") == (h.id,)


def test_the_helper_that_tries_the_plane_out_is_the_one_that_works(
    engine: testbed.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(engine.url, environ={}) as voltar:
        made: list[str] = []
        post = voltar.post

        def watched(path: str, *body: Any, **params: Any) -> Any:
            made.extend([path] if path.endswith("/create") else [])
            return post(path, *body, **params)

        monkeypatch.setattr(voltar, "post", watched)
        with helper(voltar, (), access=Access.READ, run="t") as h:
            assert h.data_plane == "fifo"
            assert h.run(["cat", h.place("file", [b"shared"])]) == b"shared"

    assert made == ["/containers/create"]


def test_a_survey_tells_the_facts(every_engine: testbed.Engine) -> None:
    with connect(every_engine.url, environ={}) as voltar:
        found = survey(voltar)

    assert found.version.startswith(every_engine.kind[:4])
    assert found.image_store == ("containerd" if "containerd" in every_engine.kind else "classic")
    assert found.data_plane == "fifo"
    assert found.helper_built
    assert found.helper_image.startswith("voltar-helper:")
    assert "GNU tar" in found.tools["tar"]
    assert "GNU findutils" in found.tools["find"]
    assert found.sys_admin == "granted"
    assert not found.user_namespaces

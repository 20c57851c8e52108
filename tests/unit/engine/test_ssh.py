"""What is decided about an engine on another host, by what that host says of itself."""

import pytest

from backup.engine.address import Address, locate
from backup.engine.farhost import Seen, on_this_machine, with_our_files
from backup.engine.ssh import complaint, way
from backup.errors import EngineUnavailable


def address(url: str = "ssh://me@host") -> Address:
    return locate(url, {})


def seen(*programs: str, docker_host: str = "", boot: str = "", files: str = "") -> Seen:
    return Seen(
        user=1000,
        docker_host=docker_host,
        runtime="",
        temporary="/tmp",
        boot=boot,
        files=files,
        programs={name: f"/bin/{name}" for name in programs},
    )


@pytest.mark.parametrize(
    ("programs", "expected"),
    [
        (("docker", "socat"), "/bin/docker system dial-stdio"),
        (("socat", "nc"), "/bin/socat - UNIX-CONNECT:/var/run/docker.sock"),
        (("nc", "ncat"), "/bin/nc -N -U /var/run/docker.sock"),
        (("ncat",), "/bin/ncat -U /var/run/docker.sock"),
    ],
)
def test_the_best_way_to_the_socket_is_taken(programs: tuple[str, ...], expected: str) -> None:
    assert " ".join(way(address(), seen(*programs))) == expected


def test_a_socket_that_the_url_names_is_used() -> None:
    named = address("ssh://me@host/run/user/7/docker.sock")

    assert way(named, seen("docker"))[1:3] == ["--host", "unix:///run/user/7/docker.sock"]
    assert way(named, seen("socat"))[-1] == "UNIX-CONNECT:/run/user/7/docker.sock"


def test_the_accounts_own_docker_host_is_used() -> None:
    assert way(address(), seen("socat", docker_host="unix:///x"))[-1] == "UNIX-CONNECT:/x"


@pytest.mark.parametrize("there", [seen(), seen("socat", docker_host="tcp://elsewhere:1")])
def test_without_a_way_it_is_said_what_would_be_one(there: Seen) -> None:
    with pytest.raises(EngineUnavailable, match="no docker command") as caught:
        way(address(), there)

    assert "socat" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("stderr", "hint"),
    [
        ("noise\nGot permission denied while trying to connect to …", "group docker"),
        ("Cannot connect to the Docker daemon at unix:///x. Is the …", "systemctl start docker"),
        ("docker: 'system dial-stdio' is not a docker command", "18.09"),
    ],
)
def test_what_docker_says_there_is_passed_on_with_a_hint(stderr: str, hint: str) -> None:
    error = complaint(address(), "/usr/bin/docker", stderr)

    assert str(error).endswith(f"docker on that host says: {stderr.splitlines()[-1]}")
    assert "ssh://me@host" in str(error)
    assert hint in str(error.hint)


def test_another_kernel_is_another_machine() -> None:
    assert not on_this_machine(seen())
    assert not on_this_machine(seen(boot="another"))
    assert not with_our_files(seen(boot="another"))

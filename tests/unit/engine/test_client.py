"""What docker-py is loaded with."""

import subprocess
import sys


def test_a_local_engine_needs_no_ssh() -> None:
    program = "import sys, backup.engine.client; print('docker' in sys.modules, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    loaded = done.stdout.decode().split()
    assert loaded[0] == "True"
    assert {"paramiko", "docker.transport.sshconn", "obstore"} & set(loaded) == set()

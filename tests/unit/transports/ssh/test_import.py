import subprocess
import sys


def test_paramiko_is_loaded_when_a_link_is_opened_and_not_before():
    loaded = "sys, transports.ssh, transports.store, backup.cli.app"
    code = f"import {loaded}; print('paramiko' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert done.stdout == b"False\n"

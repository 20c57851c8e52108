"""What a unit of systemd does to a process, as far as it may break one, without systemd.

    python cage.py '{"writable": ["/srv/x"], "capabilities": ["CAP_FOWNER"]}' COMMAND …

ProtectSystem=strict with ReadWritePaths=, PrivateTmp=, CapabilityBoundingSet= and NoNewPrivileges=.
Mounts are made in a namespace of its own, which this script enters first; the machine sees none.
"""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_SETATTR = 442
MOUNT_ATTR_RDONLY = 1
SPARED = ("/proc", "/sys", "/dev")

libc = ctypes.CDLL(None, use_errno=True)


class MountAttr(ctypes.Structure):
    """struct mount_attr of linux/mount.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def demand(result: int, what: str) -> None:
    """Fail loudly: a cage with a hole would prove nothing."""
    if result:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def set_attributes(path: str, attributes: MountAttr) -> None:
    """Change a mount and all that are below it."""
    size = ctypes.sizeof(attributes)
    arguments = (AT_FDCWD, os.fsencode(path), AT_RECURSIVE, ctypes.byref(attributes), size)
    demand(libc.syscall(MOUNT_SETATTR, *arguments), f"mount_setattr {path}")


def main() -> None:
    """Lock this process up, and become the command."""
    wishes = json.loads(sys.argv[1])
    demand(libc.unshare(CLONE_NEWNS), "unshare")
    demand(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "private mounts")
    for path in wishes["writable"]:
        subprocess.run(["mount", "--bind", path, path], check=True)
    set_attributes("/", MountAttr(set=MOUNT_ATTR_RDONLY))
    for path in (*SPARED, *filter(os.path.isdir, wishes["writable"])):
        set_attributes(path, MountAttr(clear=MOUNT_ATTR_RDONLY))
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/tmp"], check=True)
    assert not os.access(Path(__file__).parent, os.W_OK)
    names = [f"+{name.removeprefix('CAP_').lower()}" for name in wishes["capabilities"]]
    options = ["--no-new-privs", "--bounding-set", ",".join(["-all", *names])]
    os.execvp("setpriv", ["setpriv", *options, "--inh-caps", "-all", *sys.argv[2:]])


if __name__ == "__main__":
    main()

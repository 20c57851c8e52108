"""Run as a program: put an object where the kernel makes no hard links, as on FAT.

    seccomp.py ERRNO DIRECTORY NAME TEXT

A filter lets link and linkat fail with ERRNO; everything else works. Linux on x86-64 and ARM64.
"""

import ctypes
import platform
import struct
import sys
from pathlib import Path

from transports.errors import TransportError
from transports.store.file import FileStore

LINKS = {"x86_64": (86, 265), "aarch64": (37, 37)}[platform.machine()]
LOAD_NUMBER, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2


class Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def forbid_links(number: int) -> None:
    """Let every later link of this process fail with this errno."""
    instructions = [
        (LOAD_NUMBER, 0, 0, 0),
        (JUMP_IF_EQUAL, 1, 0, LINKS[0]),
        (JUMP_IF_EQUAL, 0, 1, LINKS[1]),
        (RETURN, 0, 0, FAIL | number),
        (RETURN, 0, 0, ALLOW),
    ]
    code = b"".join(struct.pack("<HBBI", *one) for one in instructions)
    program = Program(len(instructions), code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "no seccomp here")


if __name__ == "__main__":
    forbid_links(int(sys.argv[1]))
    store = FileStore(Path(sys.argv[2]))
    try:
        store.put(sys.argv[3], sys.argv[4].encode())
    except TransportError as error:
        print(type(error).__name__)
    else:
        print("stored")

"""Records are decoded by several threads at once."""

import subprocess
import sys

# each child is a process in which nothing was decoded yet, and which changes threads all the time
CHILDREN = """
import os, sys, threading
from backup.repository.index import IndexObject
from backup.repository.record import parse

DATA = b'{"tables": [["aa", "bb", 5, [["cc", 1, 2, 3]]]], "time": "2026-01-01T00:00:00Z"}'

def decode():
    together.wait()
    parse(DATA, IndexObject)

for _ in range(150):
    child = os.fork()
    if not child:
        sys.setswitchinterval(1e-6)
        together = threading.Barrier(8)
        threads = [threading.Thread(target=decode) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        sys.exit(f"a child ended with {status}")
"""


def test_threads_that_decode_the_first_record_together():
    done = subprocess.run(
        [sys.executable, "-c", CHILDREN], capture_output=True, timeout=100, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")

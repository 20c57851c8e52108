"""Who holds a lock; what those are told who do not is in the tests of the daemon and of jobs."""

import os

from backup.lock import takes


def test_an_open_file_is_locked_if_nobody_has_it(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    one, other = (os.open(tmp_path / "a", os.O_RDWR) for _ in "12")

    assert (takes(one), takes(other)) == (True, False)
    os.close(one)
    assert takes(other)
    os.close(other)

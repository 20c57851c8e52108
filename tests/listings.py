"""What GNU find prints for a listing."""

from backup.listing import Listed


def printed(record: Listed) -> bytes:
    """Return a record as `find -printf` with listing.FORMAT has it."""
    path, kind, mode, uid, gid, size, mtime_ns, ctime_ns, inode, nlink, dev, link = record
    mtime, ctime = (b"%d.%09d0" % divmod(ns, 10**9) for ns in (mtime_ns, ctime_ns))
    facts = (kind.encode(), mode, uid, gid, size, mtime, ctime, inode, nlink, dev, path, link)
    return b"%c %o %d %d %d %s %s %d %d %d %s\0%s\0" % facts

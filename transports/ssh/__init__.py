"""Links over SSH: one connection per host carries commands, streams and SFTP.

`open_link` reads ~/.ssh/config as OpenSSH does, accepts no host key that is not known, and gives a
`Link`: by paramiko, or by OpenSSH's own client where `Options.binary` names it.
"""

from transports.ssh.protocol import Finished, Link, Options, Remote
from transports.ssh.sftp import SftpSession

__all__ = ["Finished", "Link", "Options", "Remote", "SftpSession", "open_link"]


def open_link(url: str, options: Options | None = None) -> Link:
    """Connect to ssh://[user@]host[:port] and authenticate. Raises Refused, ConnectionLost."""
    options = options or Options()
    if options.binary is not None:
        from transports.ssh import binary  # noqa: PLC0415

        return binary.connect(url, options)
    from transports.ssh import link  # noqa: PLC0415 - paramiko takes 60 ms to load

    return link.connect(url, options)

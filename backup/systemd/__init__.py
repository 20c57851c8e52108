"""Units of systemd that do what the configuration says, when it says so.

    plan = compare(wanted(config, place), read(directory))
    write(plan, directory)

The services are files of their own beside this one: templates whose instance is the name of a job
or of a repository, locked up as far as what they do allows. What an instance needs beyond that (the
directory of its repository, its password) stands in a drop-in, and when it runs in a timer. So what
`systemctl edit` adds is never touched.

Each file that is written begins with a digest of the rest. One that has none, or another, is not
ours or not ours any more: it is neither replaced nor removed.
"""

from backup.systemd.directory import Plan, compare, read, write
from backup.systemd.unit import Place, Wanted, wanted, wanted_daemon

__all__ = ["Place", "Plan", "Wanted", "compare", "read", "wanted", "wanted_daemon", "write"]

"""Who is told when backups fail, are well again, or are overdue.

    bell = Bell(targets=…, pings=…, …)
    bell.started("job nightly")
    bell.ended(Ended(subject="job nightly", …))

Two ways that complement each other. An *alarm* goes out once when something becomes wrong, and
once when it is well again; what was told is remembered for each target by itself. It is at least
once: a kill between the sending and the remembering has it told again, for one too many wakes
somebody and one too few loses data. A *ping* goes out at the begin and end of each run, to a check
that alarms by itself when none comes: that is how a machine that is off is noticed.

Nothing of this ever fails a run, or holds it up for longer than a few seconds. What could not be
told is told to `complain`. No message holds a URL, for those are secrets.
"""

from backup.notify.alarm import Alarm, Observation, alarms
from backup.notify.bell import Bell, Ended
from backup.notify.ping import Ping, ping
from backup.notify.target import Target, send

__all__ = ["Alarm", "Bell", "Ended", "Observation", "Ping", "Target", "alarms", "ping", "send"]

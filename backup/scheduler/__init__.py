"""The daemon: what the configuration wants done at times is started when it is due.

    loop = Loop(tasks(config, zone), config.parallel, state, Doors(...))
    serve(loop, ...)

Each task is a process of its own, so nothing that happens in one ends the loop. What is kept of a
task is the moment up to which all that was due is done (`served`), on disk before anybody relies on
it. It moves when a run has *ended*: whatever dies in between, the loop, the machine or the run with
them, the run is made good by the next loop, once, however much was missed. So a due time may be run
twice where the loop was killed between a run's end and the note of it, and is lost never.

The library `schedule` holds what is to come and says what is due (`agenda`), on a clock of ours.
"""

from backup.scheduler.child import Process
from backup.scheduler.loop import Child, Doors, Loop, Told
from backup.scheduler.mark import Mark, planned, served
from backup.scheduler.service import Supervisor, serve, signals_held
from backup.scheduler.state import State, only_daemon, read_state, save_state
from backup.scheduler.task import Task, tasks
from backup.timing.timetable import Work

__all__ = [
    "Child",
    "Doors",
    "Loop",
    "Mark",
    "Process",
    "State",
    "Supervisor",
    "Task",
    "Told",
    "Work",
    "only_daemon",
    "planned",
    "read_state",
    "save_state",
    "serve",
    "served",
    "signals_held",
    "tasks",
]

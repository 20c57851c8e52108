"""What runs came to, and what was said, kept on this machine in a SQLite database.

The history only tells: nothing that it says or cannot say makes a backup fail. A run is written
down when it begins, and holds a lock until it ends, so one that was killed is known. Its size is
bounded by what is kept of each job.
"""

from backup.history.book import LONGEST_MESSAGE, MOST_MESSAGES, MOST_RUNS, MOST_TALKATIVE, History
from backup.history.record import CONTENT, STORE, Kind, Message, Result, Run, SourceResult

__all__ = [
    "CONTENT",
    "LONGEST_MESSAGE",
    "MOST_MESSAGES",
    "MOST_RUNS",
    "MOST_TALKATIVE",
    "STORE",
    "History",
    "Kind",
    "Message",
    "Result",
    "Run",
    "SourceResult",
]

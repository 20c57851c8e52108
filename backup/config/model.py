"""What a configuration says, key by key.

Keys are written with hyphens in the file. The descriptions are what editors show (`config schema`)
and what docs/configuration.md has. Text that has a grammar of its own (a size, a span, a schedule)
is kept here as it was written, and was proven to be right when the file was read.
"""

from enum import Enum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from backup.config.text import (
    Age,
    Command,
    Count,
    EngineUrl,
    Exemption,
    Files,
    Label,
    Listen,
    Location,
    Name,
    Object,
    Path,
    Ping,
    Rate,
    Sentence,
    Size,
    Span,
    Tag,
    Tags,
    Telling,
    Textfile,
    Word,
    Zone,
)

LOCAL: Final = "local"
"""The host that is there without being configured: the engine that docker's client would use."""


class Quiesce(Enum):
    """What is done to the users of a volume while it is read."""

    NONE = "none"
    PAUSE = "pause"
    STOP = "stop"


class HotCopy(Enum):
    """What is done where a database's files would be copied while it writes to them."""

    ALLOW = "allow"
    WARN = "warn"
    REFUSE = "refuse"


class When(Enum):
    """Whether a hook runs before the reading or after it."""

    BEFORE = "before"
    AFTER = "after"


class OnError(Enum):
    """What a hook that fails does to its run: end it, be told, or leave out its sources."""

    FAIL = "fail"
    WARN = "warn"
    SKIP = "skip"


class Occasion(Enum):
    """What somebody is told of."""

    FAILURE = "failure"
    RECOVERY = "recovery"
    OVERDUE = "overdue"


def _doc(text: str) -> Meta:
    return Meta(description=text)


class Table(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A table of the file."""


class Host(Table, frozen=True, kw_only=True):
    """An engine. The engine of this machine needs none: it is `local`."""

    url: Annotated[
        EngineUrl, _doc("Where it is: unix:///path, tcp://host:port or ssh://user@host:port.")
    ]
    helper_image: Annotated[
        Word | None, _doc("An image with GNU tar and find, for helpers on this engine.")
    ] = None


class Repository(Table, frozen=True, kw_only=True):
    """A repository, and where its password comes from: one of three places, or else what the
    command line and the environment name."""

    location: Annotated[
        Location,
        _doc("Where it is: a directory, sftp://, s3://, gs://, az:// or rclone:. No passwords."),
    ]
    password_file: Annotated[Path | None, _doc("A file that has the password.")] = None
    password_command: Annotated[Command | None, _doc("A command that prints the password.")] = None
    password_credential: Annotated[
        Name | None, _doc("The name of a credential of systemd that is the password.")
    ] = None
    limit_upload: Annotated[Rate | None, _doc("Send at most this much a second.")] = None
    limit_download: Annotated[Rate | None, _doc("Fetch at most this much a second.")] = None
    check: Annotated[Sentence | None, _doc("When its structure is checked.")] = None
    prune: Annotated[Sentence | None, _doc("When what no snapshot needs any more is removed.")] = (
        None
    )
    time_zone: Annotated[
        Zone | None, _doc("Whose clock the schedules mean; without it, this machine's.")
    ] = None
    check_ping: Annotated[
        Ping | None, _doc("What is pinged for its checks, as `ping` of `notify` is for jobs.")
    ] = None
    prune_ping: Annotated[Ping | None, _doc("What is pinged for its prunes.")] = None


class Keep(Table, frozen=True, kw_only=True):
    """What is kept of each source after a run that went well. A snapshot stays if any rule keeps
    it. Without this table everything is kept."""

    last: Annotated[Count | None, _doc("The newest so many.")] = None
    hourly: Annotated[Count | None, _doc("The newest of each of so many hours.")] = None
    daily: Annotated[Count | None, _doc("The newest of each of so many days.")] = None
    weekly: Annotated[Count | None, _doc("The newest of each of so many weeks.")] = None
    monthly: Annotated[Count | None, _doc("The newest of each of so many months.")] = None
    yearly: Annotated[Count | None, _doc("The newest of each of so many years.")] = None
    within: Annotated[Age | None, _doc("All that are younger, seen from the newest.")] = None
    within_hourly: Annotated[Age | None, _doc("One of each hour so far back.")] = None
    within_daily: Annotated[Age | None, _doc("One of each day so far back.")] = None
    within_weekly: Annotated[Age | None, _doc("One of each week so far back.")] = None
    within_monthly: Annotated[Age | None, _doc("One of each month so far back.")] = None
    within_yearly: Annotated[Age | None, _doc("One of each year so far back.")] = None
    tags: Annotated[
        list[Tags], _doc("All that have such a tag; several in one text: all of them.")
    ] = []


class Hook(Table, frozen=True, kw_only=True):
    """A command that runs before or after a job reads: in a container, or on this machine."""

    when: Annotated[When, _doc("Before the reading, or after it, whatever it came to.")]
    command: Annotated[Command, _doc("The program and its arguments; no shell is in between.")]
    container: Annotated[Object | None, _doc("Where it runs; without it, on this machine.")] = None
    user: Annotated[Word | None, _doc("As whom it runs in the container.")] = None
    directory: Annotated[Word | None, _doc("The directory that it starts in.")] = None
    timeout: Annotated[Span, _doc("After so long it is ended, and has failed.")] = "5min"
    on_error: Annotated[
        OnError,
        _doc("If it fails: the run fails, goes on with a warning, or leaves out its sources."),
    ] = OnError.FAIL


class Drill(Table, frozen=True, kw_only=True):
    """How a job's newest snapshots are restored for proof."""

    schedule: Annotated[Sentence | None, _doc("When.")] = None
    boot: Annotated[bool, _doc("Start the captured container on what was restored.")] = True
    container: Annotated[
        Object | None, _doc("Which one, where the job has several containers.")
    ] = None
    assert_: Annotated[
        Command | None, _doc("A command that must end with 0 in the started container.")
    ] = msgspec.field(default=None, name="assert")
    settle: Annotated[Span, _doc("How long a container without a health check must run.")] = "10s"
    timeout: Annotated[Span, _doc("How long it may take to become healthy.")] = "5min"


class Job(Table, frozen=True, kw_only=True):
    """What is backed up, when, how, and what is kept of it: all that any of `volumes`,
    `containers`, `projects`, `labels`, `patterns` or `all` chooses, but not what `exclude` does."""

    host: Annotated[Name, _doc("The engine: a name of `hosts`, or the one of this machine.")] = (
        LOCAL
    )
    repository: Annotated[
        Name | None, _doc("A name of `repositories`; not needed where there is only one.")
    ] = None
    volumes: Annotated[list[Object], _doc("Volumes, by name. They must be there.")] = []
    containers: Annotated[
        list[Object], _doc("Containers, by name, with all that they mount. They must be there.")
    ] = []
    projects: Annotated[list[Object], _doc("Compose projects: all of their containers.")] = []
    labels: Annotated[list[Label], _doc("What has such a label: key, or key=value.")] = []
    patterns: Annotated[list[Word], _doc("Names with *, ? and [a-z]: web-*.")] = []
    all: Annotated[bool, _doc("All containers and volumes.")] = False
    labelled: Annotated[
        bool | None,
        _doc(
            "What labels enable without naming a job; else only if it is the only job of its host."
        ),
    ] = None
    exclude: Annotated[
        list[Exemption],
        _doc("Not these: volume:NAME, container:NAME, project:NAME, path:/dir, or a pattern."),
    ] = []
    images: Annotated[bool, _doc("The images of the containers too, by layer.")] = False
    exclude_files: Annotated[
        list[Files], _doc("Patterns of files to leave out, as in .gitignore.")
    ] = []
    exclude_caches: Annotated[bool, _doc("Leave out what CACHEDIR.TAG marks as a cache.")] = False
    exclude_larger_than: Annotated[Size | None, _doc("Leave out files that are larger.")] = None
    tags: Annotated[list[Tag], _doc("Tags for the snapshots.")] = []
    schedule: Annotated[
        Sentence | None, _doc("When it runs. Without it, only when somebody runs it.")
    ] = None
    time_zone: Annotated[
        Zone | None, _doc("Whose clock the schedules mean; without it, this machine's.")
    ] = None
    jitter: Annotated[Span | None, _doc("Start up to so much later, by chance.")] = None
    keep: Annotated[Keep | None, _doc("What is kept; without it, everything.")] = None
    brake: Annotated[
        bool, _doc("Forget nothing of a source that looks as after a loss or an attack.")
    ] = True
    quiesce: Annotated[
        Quiesce | None, _doc("What is done to the containers while their volumes are read.")
    ] = None
    grace: Annotated[
        Span | None,
        _doc("How long a container may take to stop, at most 1h; without it, its own time."),
    ] = None
    hooks: Annotated[list[Hook], _doc("Commands before and after the reading, in order.")] = []
    dump: Annotated[
        Literal["postgres", "mariadb", "mysql"] | None,
        _doc("Store what the database's own program dumps, of those containers that serve it."),
    ] = None
    hot_copy: Annotated[
        HotCopy, _doc("What is done where a database writes to the files that are read.")
    ] = HotCopy.WARN
    ping: Annotated[
        Ping | None, _doc("A check of its own, instead of that of `notify`, which is one for all.")
    ] = None
    drill: Annotated[Drill | None, _doc("How restoring it is proven.")] = None


class Notify(Table, frozen=True, kw_only=True):
    """Who is told, and of what."""

    urls: Annotated[list[Telling], _doc("Who is told, as URLs of apprise. They are secrets.")] = []
    urls_file: Annotated[Path | None, _doc("A file with such URLs, one a line.")] = None
    on: Annotated[list[Occasion], Meta(min_length=1, description="Of what somebody is told.")] = (
        msgspec.field(default_factory=lambda: [*Occasion])
    )
    ping: Annotated[
        Ping | None,
        _doc("What jobs ping, as healthchecks.io has it: /start and /fail are added to the URL."),
    ] = None


class Metrics(Table, frozen=True, kw_only=True):
    """Where Prometheus finds what it asks for."""

    textfile: Annotated[
        Textfile | None, _doc("A file in the directory of node exporter's textfile collector.")
    ] = None
    listen: Annotated[Listen | None, _doc("Where the daemon answers over HTTP.")] = None


class Config(Table, frozen=True, kw_only=True):
    """All of a file."""

    hosts: Annotated[dict[Name, Host], _doc("Engines, by a name of yours.")] = {}
    repositories: Annotated[dict[Name, Repository], _doc("Repositories, by a name of yours.")] = {}
    jobs: Annotated[dict[Name, Job], _doc("What is to be done, by a name of yours.")] = {}
    notify: Annotated[Notify | None, _doc("Who is told.")] = None
    metrics: Annotated[Metrics | None, _doc("For Prometheus.")] = None
    parallel: Annotated[
        int, Meta(ge=1, le=16, description="How many jobs the daemon runs at the same time.")
    ] = 1

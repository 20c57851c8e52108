"""What is wrong with a configuration is told with file, line, key, what was expected, and what is
near."""

import os
import stat
from pathlib import Path

import pytest

from backup.config import examine, load
from backup.errors import ConfigError

JOB = "[jobs.nightly]\nvolumes = ['db']\n"
REPOSITORY = "[repositories.main]\nlocation = '/srv/backup'\n"


@pytest.fixture
def said(tmp_path):
    """All that is wrong with a text, a line each: "LINE KEY: what (hint)"."""

    def said(text):
        file = tmp_path / "voltar.toml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        found = examine(file)
        return [found.advice(each).removeprefix(f"{file}:") for each in found.mistakes]

    return said


BROKEN = [
    # syntax
    ("a = ", ["1: this is no TOML: invalid value"]),
    ("parallel = 1" + "0" * 5000, ["this is no TOML: exceeds the limit (4300 digits)"]),
    ("a = x", ["1: this is no TOML: invalid value, at column 5"]),
    ("\n[jobs", ["2: this is no TOML: expected ']' at the end of a table declaration"]),
    ("a = 1\na = 2", ["2: this is no TOML: cannot overwrite a value"]),
    (b"parallel = 1\n# \xff", ["2: this is no UTF-8"]),
    # keys
    ("paralel = 2", ["1: paralel: there is no such key (did you mean parallel?)"]),
    ("[jobs.a]\nall = true\ndaily = 7", ["3: jobs.a.daily: there is no such key (it belongs into"]),
    ("[jobs.a]\nall = true\nexclude_files = []", ["(did you mean exclude-files?)"]),
    ("[repositories.a]\nlocation = '/x'\npassword = 'hunter2'", ["3: repositories.a.password: "]),
    ("[jobs.a]\ncontainer = ['db']", ["(did you mean containers?)"]),
    ("[notify]\nurl = 'ntfy://x'", ["(did you mean urls?)"]),
    ("[repositories.a]\n", ["1: repositories.a: the key location is missing"]),
    ("jobs.'a'.\"all\" = true\njobs.a.x = 1", ["2: jobs.a.x: there is no such key"]),
    # types
    ("parallel = '2'", ["1: parallel: expected a whole number, got a text"]),
    ("parallel = true", ["1: parallel: expected a whole number, got true"]),
    ("parallel = 17", ["1: parallel: expected 16 or less, got 17"]),
    ("jobs = 5", ["1: jobs: expected a table, got 5"]),
    ("[[jobs]]", ["1: jobs: expected a table, got a list"]),
    ("jobs.a = 5", ["1: jobs.a: expected a table, got 5"]),
    ("[jobs.a]\nall = 1", ["2: jobs.a.all: expected true or false, got 1"]),
    ("[jobs.a]\nvolumes = 'db'", ["2: jobs.a.volumes: expected a list, got a text (put brackets"]),
    ("[jobs.a]\nvolumes = [\n'x',\n5]", ["4: jobs.a.volumes[1]: expected a text, got 5 (put quot"]),
    ("[jobs.a]\nall = true\nhooks = {}", ["3: jobs.a.hooks: expected a list, got a table"]),
    ("[jobs.a]\nall = true\ngrace = '٣s'", ["expected a span of time, got '٣s'"]),
    ("[jobs.a]\nall = true\ngrace = 1979-05-27", ["3: jobs.a.grace: expected a text, got a date"]),
    ("[jobs.a]\nall = true\nquiesce = 'Stop'", ["expected none, pause or stop, got 'Stop' (did"]),
    (
        "[jobs.a]\nall = true\ndump = 'oracle'",
        ["expected mariadb, mysql or postgres, got 'oracle'"],
    ),
    # names
    ("[jobs.'a b']\nall = true", ['1: jobs."a b": expected a name of letters, digits, - and _']),
    ("[jobs.'../x']\nall = true", ['1: jobs."../x": expected a name']),
    ("[jobs.a]\nall = true\nrepository = '/srv'", ["(a host has a name by [hosts.NAME], a rep"]),
    ("[jobs.a]\nall = true\nkeep.last = 99999999999999999999", ["expected 1000000 or less"]),
    ("[jobs.-a]\nall = true", ["1: jobs.-a: expected a name"]),
    ("[jobs.a]\nvolumes = ['web-*']", ["expected a name, got 'web-*' (patterns = […] is for"]),
    ("[jobs.a]\nvolumes = ['volume:x']", ["expected a name, got 'volume:x' (leave out volume:"]),
    ("[jobs.a]\nall = true\nexclude = ['vol:x']", ["got 'vol:x' (did you mean volume?)"]),
    ("[jobs.a]\nall = true\nexclude = ['path:x']", ["expected path:/dir with an absolute path"]),
    ("[jobs.a]\nlabels = ['=x']", ["expected key or key=value, got '=x'"]),
    ("[jobs.a]\nall = true\ntags = ['a,b']", ["expected one tag, got 'a,b'"]),
    ("[jobs.a]\nall = true\nexclude-files = ['!']", ["jobs.a.exclude-files[0]: "]),
    # texts with a grammar
    (f"{JOB}schedule = 'every dya at 03:00'", ["3: jobs.nightly.schedule: the schedule"]),
    (f"{JOB}schedule = 'daily'", ["3: jobs.nightly.schedule: "]),
    (f"{JOB}schedule = 'every day'\ntime-zone = 'Europe/Berln'", ["(did you mean Europe/Berlin?)"]),
    (f"{JOB}schedule = 'every day'\ntime-zone = '../etc'", ["expected a time zone, got '../etc'"]),
    (f"{JOB}schedule = 'every day'\ntime-zone = 'Europe'", ["expected a time zone, got 'Europe'"]),
    (f"{JOB}schedule = 'every day'\ntime-zone = ''", ["expected a time zone, got ''"]),
    (f"{JOB}schedule = 'every day'\njitter = '5m'", ["expected a span of time, got '5m' (write"]),
    (f"{JOB}grace = ''", ["3: jobs.nightly.grace: expected a span of time, got ''"]),
    (f"{JOB}exclude-larger-than = 'big'", ["expected a size, got 'big' (write 500M or 2G)"]),
    (f"{REPOSITORY}limit-upload = '1B'", ["expected at least 1K, got '1B'"]),
    (f"{JOB}keep.daily = -1", ["3: jobs.nightly.keep.daily: expected 0 or more, got -1"]),
    (f"{JOB}keep.within = '0d'", ["jobs.nightly.keep.within: expected a span of some length"]),
    (f"{JOB}keep.within = '7 days'", ["jobs.nightly.keep.within: expected a duration"]),
    (f"{JOB}keep = {{}}", ["3: jobs.nightly.keep: it keeps nothing"]),
    (f"{JOB}keep = {{ daily = 0, last = 0 }}", ["3: jobs.nightly.keep: it keeps nothing"]),
    ("[metrics]\ntextfile = '/x/voltar.txt'", ["expected the name of a file that ends with .prom"]),
    ("[metrics]\nlisten = '9187'", ["expected an address and a port, got '9187'"]),
    ("[metrics]\nlisten = '::1:9187'", ["expected an address and a port, got '::1:9187'"]),
    ("[metrics]\nlisten = 'localhost:99999'", ["expected an address and a port"]),
    ("[metrics]", ["1: metrics: they go nowhere"]),
    ("[notify]", ["1: notify: nobody is told anything"]),
    ("[notify]\nurls = ['x']", ["2: notify.urls[0]: expected a URL of apprise"]),
    ("[notify]\nping = 'ftp://x'", ["2: notify.ping: expected a URL that begins with https://"]),
    ("[notify]\nping = 'https://x'\non = []", ["3: notify.on: the list is empty"]),
    # hosts and repositories
    ("hosts.a.url = 'web1'", ["1: hosts.a.url: expected unix:///path"]),
    ("hosts.a.url = 'tcp://h:x'", ["1: hosts.a.url: expected unix:///path"]),
    ("hosts.a.url = 'ssh://h:0'", ["1: hosts.a.url: not a port: 0"]),
    ("[repositories.a]\nlocation = 'ftp:x'", ["no repository can be at ftp:"]),
    ("[repositories.a]\nlocation = 'file://nas/x'", ["file: is this machine"]),
    ("[repositories.a]\nlocation = 'sftp://nas'", ["expected sftp://host/directory"]),
    ("[repositories.a]\nlocation = 's3:x'", ["2: repositories.a.location: "]),
    ("[repositories.a]\nlocation = 'rclone:x'", ["expected rclone:REMOTE:path"]),
    ("[repositories.a]\nlocation = ' '", ["2: repositories.a.location: expected a text"]),
    (f"{REPOSITORY}password-file='x'\npassword-command=['y']", ["only one of them can be"]),
    (f"{REPOSITORY}password-command=['']", ["password-command[0]: expected a program, got ''"]),
    (
        f"{REPOSITORY}[repositories.two]\nlocation = '/srv/backup'",
        ["4: repositories.two.location: repository main is there already"],
    ),
    (
        "hosts.a.url = 'ssh://x'\nhosts.b.url = 'ssh://x'",
        ["2: hosts.b.url: it is that of host a already"],
    ),
    # what refers to what, and what contradicts itself
    ("hosts.web.url='ssh://x'\n[jobs.a]\nall=true\nhost='wbe'", ["there is no host 'wbe'; there"]),
    (f"{REPOSITORY}{JOB}repository = 'mian'", ["5: jobs.nightly.repository: there is no reposi"]),
    (f"{JOB}repository = 'main'", ["no repository 'main': no repository is configured"]),
    (
        f"{REPOSITORY}[repositories.b]\nlocation = '/b'\n{JOB}",
        ["5: jobs.nightly: the key repository is missing: there are b and main"],
    ),
    (f"{JOB}exclude = ['volume:db']", ["it excludes volume:db, which volumes = […] chooses"]),
    ("[jobs.a]\nvolumes = ['x', 'y', 'x']", ["2: jobs.a.volumes[2]: 'x' is there twice"]),
    (f"{JOB}jitter = '5min'", ["jobs.nightly.jitter: there is no schedule that it could shift"]),
    (f"{JOB}time-zone = 'UTC'", ["jobs.nightly.time-zone: there is no schedule that it could be"]),
    (f"{REPOSITORY}time-zone = 'UTC'", ["repositories.main.time-zone: there is no schedule that"]),
    (f"{JOB}grace = '2h'", ["3: jobs.nightly.grace: expected at most 1h, got '2h'"]),
    (f"{JOB}grace = '5s'\nquiesce = 'pause'", ["nothing is stopped with quiesce = 'pause'"]),
    (
        f"{JOB}hooks = [{{ when = 'before', command = ['x'], user = 'root' }}]",
        ["3: jobs.nightly.hooks[0].user: only a hook in a container has a user"],
    ),
    (
        f"{JOB}[[jobs.nightly.hooks]]\nwhen = 'after'\ncommand = ['x']\ntimeout = '0s'\n"
        "container = 'db'\ndirectory = 'data'",
        ["timeout: expected a span of some length", "expected an absolute path in the container"],
    ),
    (f"{JOB}hooks = [{{when = 'after', command = ['x', \"\\u0000\"]}}]", ["no NUL can be in it"]),
    (f"{JOB}drill.timeout = '0s'", ["drill.timeout: expected a span of some length, got '0s'"]),
    (
        f"{JOB}[[jobs.nightly.hooks]]\nwhen = 'after'\ncommand = []",
        ["5: jobs.nightly.hooks[0].command: the list is empty"],
    ),
    (
        f"{JOB}[[jobs.nightly.hooks]]\nwhen = 'after'\ncommand = ['']",
        ["5: jobs.nightly.hooks[0].command[0]: expected a program, got ''"],
    ),
    (
        f"{JOB}drill = {{ boot = false, assert = ['x'] }}",
        ["3: jobs.nightly.drill.assert: with boot = false no container is started"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), BROKEN, ids=[str(text) for text, _ in BROKEN])
def test_what_is_wrong_is_told(said, text, expected):
    found = said(text)

    assert len(found) == len(expected), found
    for line, part in zip(found, expected, strict=True):
        assert part in line


def test_all_that_is_wrong_is_told_in_the_order_of_the_file(said):
    found = said(
        "[jobs.a]\nvolumes = [1]\nquiesce = 'x'\n[jobs.b]\nall = true\nhost = 'nope'\n"
        "[repositories.c]\nlocation = 5\n"
    )

    assert [each.partition(": ")[0] for each in found] == ["2", "3", "6", "8"]


def test_a_mistake_in_one_job_does_not_hide_one_in_another(said):
    found = said("[jobs.a]\nnope = 1\n[jobs.b]\nall = true\nkeep = {}\n")

    assert len(found) == 2


def test_an_error_has_a_note_for_each_mistake(tmp_path):
    file = tmp_path / "voltar.toml"
    file.write_text("a = 1\nb = 2\n")

    with pytest.raises(ConfigError, match="has 2 mistakes") as caught:
        load(file)

    assert caught.value.__notes__ == [
        f"{file}:1: a: there is no such key",
        f"{file}:2: b: there is no such key",
    ]


def test_a_single_mistake_is_the_error(tmp_path):
    file = tmp_path / "voltar.toml"
    file.write_text("paralel = 1\n")

    with pytest.raises(ConfigError) as caught:
        load(file)

    assert str(caught.value) == f"{file}:1: paralel: there is no such key"
    assert caught.value.hint == "did you mean parallel?"


@pytest.mark.parametrize("file", ["nope.toml", "."])
def test_what_cannot_be_read_is_told(tmp_path, file):
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load(tmp_path / file)


@pytest.mark.parametrize(
    "text",
    [
        "[repositories.a]\nlocation = 's3://KEY:hunter2@bucket/x'",
        "[repositories.a]\nlocation = 'sftp://me:hunter2@nas/x'",
        "[repositories.a]\nlocation = ['hunter2']",
        "[repositories.a]\nlocation = '/x'\npassword = 'hunter2'",
        "[repositories.a]\nlocation = '/x'\npassword-file = ['hunter2']",
        "[repositories.a]\nlocation = '/x'\npassword-command = 'hunter2'",
        "hosts.a.url = 'ssh://me:hunter2@x'",
        "hosts.a.url = 'tcp://me:hunter2@x:2375'",
        "hosts.a.url = 'hunter2'",
        "[notify]\nurls = 'mailto://me:hunter2@x'",
        "[notify]\nurls = ['hunter2']",
        "[notify]\nping = 'hunter2'",
        "[notify]\nping = 'https://hunter2'\nping = 1",
        "x = 'hunter2",
    ],
)
def test_no_secret_is_in_a_message(said, text):
    [message] = said(text)

    assert "hunter2" not in message


def test_paths_are_relative_to_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    file = tmp_path / "voltar.toml"
    file.write_text(
        "[repositories.a]\nlocation = 'store'\npassword-file = '../secret'\n"
        "[repositories.b]\nlocation = '~/store'\npassword-command = ['./ask', './x']\n"
        "[repositories.c]\nlocation = 'sftp://nas/store'\npassword-command = ['pass', 'x']\n"
        "[repositories.d]\nlocation = 'file:store'\n"
        "[jobs.a]\nall = true\nrepository = 'a'\nhooks = [\n"
        "{ when = 'before', command = ['./hook'], directory = 'here' },\n"
        "{ when = 'before', command = ['./hook'], directory = '/there', container = 'db' }]\n"
        "[notify]\nurls-file = 'urls'\n[metrics]\ntextfile = 'v.prom'\n"
    )

    found = load(file)

    a, b, c, d = found.repositories.values()
    assert (a.location, a.password_file) == (f"{tmp_path}/store", f"{tmp_path}/../secret")
    assert (b.location, b.password_command) == ("/home/me/store", [f"{tmp_path}/ask", "./x"])
    assert (c.location, c.password_command) == ("sftp://nas/store", ["pass", "x"])
    assert d.location == f"file:{tmp_path}/store"
    here, there = found.jobs["a"].hooks
    assert (here.command, here.directory) == ([f"{tmp_path}/hook"], f"{tmp_path}/here")
    assert (there.command, there.directory) == (["./hook"], "/there")
    assert found.notify is not None
    assert found.notify.urls_file == f"{tmp_path}/urls"
    assert found.metrics is not None
    assert found.metrics.textfile == f"{tmp_path}/v.prom"


def test_a_home_that_nobody_has_is_told(said):
    [message] = said("[repositories.a]\nlocation = '~nobody-has-this/x'\n")

    assert message.startswith("2: repositories.a.location: cannot tell whose home is meant")


EXPOSED = [
    ("[notify]\nurls = ['ntfy://x']\n", 0o644, "it has secrets in it"),
    ("[notify]\nping = 'https://x/y'\n", 0o640, "it has secrets in it"),
    (f"{JOB}ping = 'https://x/y'\n", 0o644, "it has secrets in it"),
    (f"{REPOSITORY}check-ping = 'https://x/y'\n", 0o644, "it has secrets in it"),
    (f"{REPOSITORY}prune-ping = 'https://x/y'\n", 0o644, "it has secrets in it"),
    ("parallel = 2\n", 0o664, "others may write it"),
    ("[repositories.a]\nlocation = '/x'\npassword-file = 'open'\n", 0o600, "others may read or"),
    ("[repositories.a]\nlocation = '/x'\npassword-file = 'nope'\n", 0o600, "No such file"),
]


@pytest.mark.parametrize(("text", "mode", "expected"), EXPOSED, ids=[each[0] for each in EXPOSED])
def test_who_else_can_read_or_write_is_a_warning(tmp_path, text, mode, expected):
    file = tmp_path / "voltar.toml"
    file.write_text(text)
    file.chmod(mode)
    (tmp_path / "open").write_text("secret")
    (tmp_path / "open").chmod(0o644)

    found = examine(file)

    assert found.config is not None
    assert [expected in each.text for each in found.exposed] == [True]


def test_a_file_of_ones_own_gives_no_warning(tmp_path):
    file = tmp_path / "voltar.toml"
    file.write_text("[notify]\nurls = ['ntfy://x']\n")
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)

    assert not examine(file).exposed


def test_a_job_that_only_labels_can_fill_is_doubted(tmp_path):
    file = tmp_path / "voltar.toml"
    file.write_text(f"[jobs.a]\nimages = true\n{REPOSITORY}")

    [doubt] = examine(file).doubts

    assert (doubt.line, "it chooses nothing by itself" in doubt.text) == (1, True)


def test_a_configuration_without_repository_is_doubted(tmp_path):
    file = tmp_path / "voltar.toml"
    file.write_text(JOB)

    [doubt] = examine(file).doubts

    assert "VOLTAR_REPOSITORY" in doubt.text


@pytest.mark.parametrize(
    ("more", "doubted"),
    [
        ("", []),
        ("schedule = 'every day at 03:00'", [("repositories", "main")]),
        ("[repositories.main]\nlocation = '/a'\ncheck = 'every day'", [("repositories", "main")]),
        (
            "schedule = 'every day'\n[repositories.main]\nlocation = '/a'\npassword-file = 'x'",
            [],
        ),
    ],
    ids=["by hand", "job", "check", "file"],
)
def test_a_schedule_without_a_password_is_doubted(tmp_path, more, doubted):
    file = tmp_path / "voltar.toml"
    main = "" if "[repo" in more else "\n[repositories.main]\nlocation = '/a'"
    file.write_text(f"[jobs.a]\nall = true\n{more}{main}\n")

    assert [each.key for each in examine(file).doubts] == doubted


def test_a_time_zone_may_be_for_the_drill_alone(said):
    drill = "drill = { schedule = 'every sunday' }"

    assert said(f"{JOB}time-zone = 'UTC'\n{drill}") == []


def test_an_empty_file_is_a_configuration(said):
    assert said("") == []
    assert said("# nothing\r\n") == []
    assert said(b"\xef\xbb\xbfparallel = 2\n") == []


@pytest.mark.parametrize("depth", [400, 100_000])
def test_brackets_in_brackets_are_no_bug(said, depth):
    assert said(f"a = {'[' * depth}{']' * depth}")


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(ConfigError, match="is a FIFO and no file"):
        examine(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="more than 1 MiB"):
        examine(Path("/dev/zero"))


def test_what_a_command_writes_may_be_the_configuration():
    reading, writing = os.pipe()
    os.write(writing, JOB.encode())
    os.close(writing)

    found = examine(Path(f"/dev/fd/{reading}"))

    os.close(reading)
    assert list(found.demand().jobs) == ["nightly"]

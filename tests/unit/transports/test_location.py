import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from transports.errors import Refused, TransportError
from transports.store import Settings, check_name, open_store


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/srv/backup", "file:/srv/backup"),
        ("file:/srv/backup", "file:/srv/backup"),
        ("file:///srv/backup", "file:/srv/backup"),
        ("file://localhost/srv/backup", "file:/srv/backup"),
        ("file:/srv/my%20backup", "file:/srv/my backup"),
        ("/srv/a%20b", "file:/srv/a%20b"),
        ("/srv/a:b", "file:/srv/a:b"),
        ("./a:b", f"file:{Path.cwd()}/a:b"),
        ("backup", f"file:{Path.cwd()}/backup"),
        ("~/backup", f"file:{Path.home()}/backup"),
        ("file:~/backup", f"file:{Path.home()}/backup"),
        ("/srv/a#b?c", "file:/srv/a#b?c"),
        ("/srv/[x", "file:/srv/[x"),
    ],
)
def test_paths_and_urls_name_directories(location, url):
    assert open_store(location).url == url


@pytest.mark.parametrize("url", ["file:/srv/a#b", "file:/srv/a?b", "file:///srv/a?b#c"])
def test_no_part_of_a_path_is_dropped(url):
    assert open_store(url).url == "file:/srv/" + url.rpartition("/")[2]


@pytest.mark.parametrize("location", ["ftp://host/x", "backup:2", "s4:x", "http://host/x"])
def test_unknown_kinds_are_refused_with_those_that_there_are(location):
    with pytest.raises(Refused, match=f"'{location.partition(':')[0]}'") as refused:
        open_store(location)

    assert "file:/path" in str(refused.value.hint)
    assert "s3://BUCKET" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3://bucket/a%20b?region=eu-west-1", "s3://bucket/a b"),
        ("s3://b/a?endpoint=https://h:9000", "s3://b/a?endpoint=https://h:9000"),
        ("s3://b?endpoint=https://h&path-style=false&region=x", "s3://b?endpoint=https://h"),
        ("gs://bucket/a", "gs://bucket/a"),
        ("az://container/a?account=me", "az://container/a?account=me"),
    ],
)
def test_urls_name_buckets(location, url):
    with closing(open_store(location, Settings())) as store:
        assert store.url == url


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("s3:", "expected s3://"),
        ("s3:bucket", "expected s3://"),
        ("s3://", "no bucket"),
        ("s3:///prefix", "no bucket"),
        ("s3://?region=x", "no bucket"),
        ("s3://buc ket", "cannot be the name"),
        ("s3://[", "cannot be the name"),
        ("s3://b/../x", "the prefix"),
        ("s3://b/a%0ab", "the prefix"),
        ("s3://b?colour=red", "no parameter 'colour'"),
        ("s3://b?region=", "no value"),
        ("s3://b?region=a&region=b", "twice"),
        ("s3://b?path-style=perhaps", "expected true or false"),
        ("s3://b?endpoint=host:9000", "is no URL"),
        ("s3://b?endpoint=https://host:port", "no URL"),
        ("s3://b?endpoint=ftp://host", "is no URL"),
        ("gs://b?region=x", "no parameter 'region'"),
        ("az://c", "Account must be specified"),
        ("rclone:", "no remote"),
        ("rclone:remote", "no remote"),
        ("rclone::sftp,host=x,pass=secret:p", "no remote"),
    ],
)
def test_what_is_no_place_is_said_to_be_none(location, said):
    with pytest.raises(Refused, match=re.escape(said)) as refused:
        open_store(location)

    assert "secret" not in str(refused.value)


def test_a_scheme_in_capitals_is_no_directory():
    assert open_store("S3://bucket/x").url == "s3://bucket/x"
    assert open_store("Backup:old").url.endswith("/Backup:old")
    with pytest.raises(Refused, match="no store of the kind 'ftp'"):
        open_store("FTP://host/x")


@pytest.mark.parametrize(
    "location",
    [
        "s3://KEY:hunter2@bucket/x",
        "s3://hunter2@bucket",
        "gs://u:hunter2@bucket",
        "s3://b?endpoint=https://u:hunter2@host",
        "s3://b?secret_access_key=hunter2",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(location):
    with pytest.raises(Refused) as refused:
        open_store(location)

    assert "hunter2" not in f"{refused.value} {refused.value.hint}"
    assert refused.value.hint


def test_rclone_must_be_there(monkeypatch):
    monkeypatch.setattr("sys.executable", "/nonexistent/python")

    with pytest.raises(Refused, match="the program rclone") as refused:
        open_store("rclone:remote:x", Settings(environ={"PATH": "/nonexistent"}))

    assert "pip install 'voltar[rclone]'" in str(refused.value.hint)


def test_neither_help_nor_a_directory_loads_what_far_stores_need():
    code = (
        "import sys, backup.cli.app; from transports.store import open_store;"
        "open_store('/srv'); print(sorted({'obstore', 'paramiko'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_a_file_url_with_a_host_shows_how_to_write_it():
    with pytest.raises(Refused, match="names the host 'srv'") as refused:
        open_store("file://srv/backup")

    assert str(refused.value.hint) == "write file:/srv/backup for an absolute path"


@pytest.mark.parametrize("location", ["~nobody-of-that-name/x", "file:", "file://["])
def test_what_cannot_be_a_place_is_a_clear_error(location):
    with pytest.raises(TransportError):
        open_store(location)


@pytest.mark.parametrize(
    "name", ["voltar.json", "packs/0a1b", "a", "k-x/x._-2", "packs/" + "f" * 64]
)
def test_names_of_objects_are_let_through(name):
    assert check_name(name) == name

from pathlib import Path

import pytest

from transports.errors import Refused, TransportError
from transports.store import check_name, open_store


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


@pytest.mark.parametrize("location", ["s3://bucket/x", "sftp://host/x", "backup:2", "rclone:x"])
def test_unknown_kinds_are_refused_by_name(location):
    with pytest.raises(Refused, match=f"'{location.partition(':')[0]}'") as refused:
        open_store(location)

    assert "file:/path" in str(refused.value.hint)


def test_a_file_url_with_a_host_shows_how_to_write_it():
    with pytest.raises(Refused, match="names the host 'srv'") as refused:
        open_store("file://srv/backup")

    assert str(refused.value.hint) == "write file:/srv/backup for an absolute path"


@pytest.mark.parametrize("location", ["s3://[", "~nobody-of-that-name/x", "file:", "file://["])
def test_what_cannot_be_a_place_is_a_clear_error(location):
    with pytest.raises(TransportError):
        open_store(location)


@pytest.mark.parametrize(
    "name", ["voltar.json", "packs/0a1b", "a", "k-x/x._-2", "packs/" + "f" * 64]
)
def test_names_of_objects_are_let_through(name):
    assert check_name(name) == name

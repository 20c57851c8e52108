"""What lies in a store restores it where there is no voltar.

recover.py runs in an environment that has nothing but what it asks for, the script of recover.txt
with a handful of tools; the repository is moved away from where it was made.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import msgspec
import pytest

from backup.capture import TAR_CREATE
from backup.repository import Member, More, Repository, create, open_repository
from backup.repository.crypto import digest
from backup.repository.descriptor import ChunkerParameters, encode
from backup.repository.manifest import chunk_of, encode_line, head_to_text
from tests.acceptance import zoo
from tests.golden.make import EXPECTED, PASSWORDS, PLACE
from tests.memory_store import MemoryStore
from tests.saved import MAKERS, PASSWORD, cheap_key, memory, put_key, reopened, save
from tests.tars import END, header, noise, padded
from tests.testbed.command import located, run
from tests.testbed.walk import diff, snapshot
from tests.unit.test_survey import LIES, rewritten
from transports.store.file import FileStore

NEEDED = ("zstandard", "cryptography", "cffi", "pycparser")
TOOLS = ("awk", "cat", "head", "mktemp", "od", "rm", "sed", "sh", "tail", "tr")
EXTRACT = [
    *("tar", "-x", "--preserve-permissions", "--same-owner", "--numeric-owner"),
    *("--delay-directory-restore", "--xattrs", "--xattrs-include=*", "--acls"),
]
MAX_ARG_STRLEN = 1 << 17
"""The longest argument that Linux takes."""
SMALL = ChunkerParameters(minimum=64, average=256, maximum=1 << 20)


def environment(directory: Path, *more: str) -> Path:
    """Make a Python that has the packages that recover.py needs, and no others; return it."""
    run([sys.executable, "-m", "venv", "--without-pip", directory])
    (packages,) = directory.glob("lib/python*/site-packages")
    for name in (*NEEDED, *more):
        for file in distribution(name).files or ():
            if ".." not in file.parts:
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), packages / file)
    return directory / "bin/python"


@pytest.fixture(scope="module", params=["with blake3", "without blake3"])
def python(request, tmp_path_factory):
    more = ["blake3"] if request.param == "with blake3" else []
    return environment(tmp_path_factory.mktemp("environment"), *more)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Python without blake3."""
    return environment(tmp_path_factory.mktemp("bare"))


def toolbox(directory: Path, busybox: str | None = None) -> Path:
    """Fill a directory with the tools of a shell, zstd and tar; return it."""
    for name in (*TOOLS, "zstd", "tar"):
        tool = located(busybox if busybox and name in TOOLS else name)
        assert tool is not None, name
        (directory / name).symlink_to(tool.resolve())
    return directory


@pytest.fixture(scope="module", params=[None, "busybox"], ids=["system", "busybox"])
def tools(request, tmp_path_factory):
    return toolbox(tmp_path_factory.mktemp("tools"), request.param)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A directory with everything that a file system can hold."""
    directory = tmp_path_factory.mktemp("tree") / "tree"
    directory.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "LONGEST_PATH", 4090)  # tar writes ./ before it
        zoo.build(os.fsencode(directory))
    # a capture by voltar does more than tar alone, which sees no links of FIFOs
    shutil.rmtree(directory / "hard-links-of-special-files")
    (directory / "sockets/server.sock").unlink()
    os.utime(directory, ns=(zoo.ROOT_TIME, zoo.ROOT_TIME))
    return directory


@pytest.fixture(scope="module", params=MAKERS)
def moved(request, tree, tmp_path_factory):
    """A repository with that directory, moved to where it was not made; its password."""
    made = tmp_path_factory.mktemp("made") / "repository"
    command = [word for word in TAR_CREATE if word != "--no-recursion"]
    tar = run([*command, "--sort=name", "--file=-", f"--directory={tree}", "."])
    save(MAKERS[request.param](FileStore(made)), [tar], source="volume:zoo")
    place = tmp_path_factory.mktemp("moved") / "else where"
    shutil.move(made, place)
    return place, PASSWORD if request.param == "sealed" else None


def recover(python, place, *words, password=None, code=0):
    """Run the recover.py of a repository; return what it printed, and what it said."""
    environ = {"PATH": os.environ["PATH"]}
    if password is not None:
        environ["VOLTAR_PASSWORD"] = password
    done = subprocess.run(
        [python, place / "recover.py", *words],
        cwd="/",
        env=environ,
        capture_output=True,
        check=False,
    )
    said = done.stderr.decode()
    assert done.returncode == code, said
    assert "Traceback" not in said
    return done.stdout, said


def by_shell(tools, place, *words, code=0):
    """Run the script of recover.txt as that page says; return what it printed and said."""
    text = (place / "recover.txt").read_text()
    assert "sed -n '/^#!/,$p' recover.txt" in text
    script = place.parent / "recover.sh"
    script.write_text(text[text.index("\n#!") + 1 :])
    done = subprocess.run(
        [tools / "sh", script, place, *words],
        env={"PATH": str(tools), "TMPDIR": str(place.parent)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert [path for path in place.parent.iterdir() if path.name.startswith("tmp.")] == []
    return done.stdout, done.stderr.decode()


def kept(store: MemoryStore, directory: Path) -> Path:
    """Write the objects of a store in memory into a directory."""
    directory.mkdir()
    files = FileStore(directory)
    for name, data in store.objects.items():
        files.put(name, data)
    return directory


def finely_cut(password: str | None, **bounds: ChunkerParameters) -> Repository:
    """A repository in memory some of whose chunks are small."""
    store = MemoryStore()
    made = MAKERS["sealed" if password else "plain"](store)
    changed = msgspec.structs.replace(made.descriptor, **bounds)
    descriptor = changed.signed(made.keys.descriptor_key)
    store.objects["voltar.json"] = encode(descriptor)
    return Repository(store, descriptor, made.keys)


def test_the_environment_has_no_voltar(python):
    done = subprocess.run(
        [python, "-c", "import backup"], cwd="/", capture_output=True, check=False
    )

    assert b"No module named 'backup'" in done.stderr


@pytest.mark.parametrize("options", [[], ["--rebuild"], ["--keep-going"]], ids=str)
def test_everything_comes_back_as_it_was(python, moved, tree, tmp_path, options):
    place, password = moved

    _, said = recover(
        python, place, "extract", "volume:zoo", tmp_path / "out", *options, password=password
    )

    assert diff(snapshot(tree), snapshot(tmp_path / "out")) == []
    assert "complete: volume:zoo" in said.splitlines()[-1]


@pytest.mark.parametrize("moved", ["plain"], indirect=True)
def test_a_shell_zstd_and_tar_bring_everything_back(tools, moved, tree, tmp_path):
    place, _ = moved
    (snapshot_id,) = os.listdir(place / "snapshots")

    tar, said = by_shell(tools, place, snapshot_id[:10])

    (tmp_path / "out").mkdir()
    run([*EXTRACT, "-C", tmp_path / "out"], stdin=tar)
    assert diff(snapshot(tree), snapshot(tmp_path / "out")) == []
    assert said == ""


def test_snapshots_and_files_are_listed(bare, moved):
    place, password = moved
    (snapshot_id,) = os.listdir(place / "snapshots")

    listed, _ = recover(bare, place, "list", password=password)
    contents, _ = recover(bare, place, "ls", snapshot_id[:6], password=password)

    assert listed.decode().split()[:4] == [
        *(snapshot_id[:10], "2026-11-25", "03:00:00+00:00", "volume:zoo")
    ]
    lines = contents.decode().splitlines()
    assert re.fullmatch(r"d 3751 70/4000000000 +0 2009-02-13 23:31:30 \.", lines[0])
    assert any(r" names/two\nlines" in line for line in lines)
    assert any(line.endswith(" symlinks/up -> ../../../../../../etc/shadow") for line in lines)
    assert any(f" {zoo.TIB + 1} " in line for line in lines)


@pytest.mark.parametrize("name", PASSWORDS)
def test_what_the_first_version_wrote_is_restored(python, name, tmp_path):
    place = shutil.copytree(PLACE / name, tmp_path / "copy")
    shutil.copy(Path(__file__).parents[2] / "backup/repository/recovery/recover.py", place)

    for snapshot_id, said in json.loads(EXPECTED.read_text())[name]["snapshots"].items():
        tar, _ = recover(python, place, "tar", snapshot_id, password=PASSWORDS[name])
        assert hashlib.sha256(tar).hexdigest() == said["tar"]


def test_a_shell_restores_what_the_first_version_wrote(tools, tmp_path):
    place = shutil.copytree(PLACE / "plain", tmp_path / "copy")
    shutil.copy(Path(__file__).parents[2] / "backup/repository/recovery/recover.txt", place)

    for snapshot_id, said in json.loads(EXPECTED.read_text())["plain"]["snapshots"].items():
        tar, _ = by_shell(tools, place, snapshot_id)
        assert hashlib.sha256(tar).hexdigest() == said["tar"]


def tar_of(size: int) -> bytes:
    """A large file, of that size, with a link to it, and a small one."""
    large = header(b"large", size=size) + padded(noise(size, b"large"))
    link = header(b"link", b"1", link=b"large")
    return large + link + header(b"small", size=5) + padded(b"small") + END


TAR = tar_of(1_500_000)


@pytest.fixture(scope="module", params=[None, PASSWORD], ids=["plain", "sealed"])
def fine(request):
    """A repository in memory with a file of more than 4,096 extents; its password."""
    repository = finely_cut(request.param, data_chunks=SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backup.repository.writer.TARGET_SIZE", 500_000)
        save(repository, [TAR])
    return memory(repository), request.param


@pytest.fixture
def place_of_a_chunk(fine):
    """The pack and the offset in it of a chunk of the large file."""
    store, password = fine
    repository = open_repository(store, password)
    (_, record), *_ = repository.snapshots()
    member = next(line for line in repository.manifest(record) if isinstance(line, Member))
    assert len(member.extents) == 4096
    found = repository.readings.find(chunk_of(member.extents[20]))
    assert found is not None
    pack, blob = found
    return f"packs/{pack.id}", blob.offset + 20


def test_a_file_of_many_extents(python, fine, tmp_path):
    store, password = fine
    place = kept(store, tmp_path / "copy")

    assert recover(python, place, "tar", "data", password=password)[0] == TAR


def test_a_shell_and_a_file_of_many_extents(monkeypatch, tmp_path):
    """It takes a moment for each of them, so there are fewer; a line is too long for a command."""
    monkeypatch.setattr("backup.recorder.EXTENTS_PER_RECORD", 1900)
    tar, repository = tar_of(660_000), finely_cut(None, data_chunks=SMALL)
    save(repository, [tar])
    place = kept(memory(repository), tmp_path / "copy")
    (tmp_path / "tools").mkdir()
    ((snapshot_id, record),) = repository.snapshots()
    member, more, *_ = repository.manifest(record)

    assert len(encode_line(member)) > MAX_ARG_STRLEN
    assert isinstance(more, More)
    assert by_shell(toolbox(tmp_path / "tools"), place, snapshot_id)[0] == tar


def packs_by_size(place: Path) -> list[Path]:
    return sorted((place / "packs").iterdir(), key=lambda pack: pack.stat().st_size)


def spoil(path: Path, at: int) -> None:
    """Flip bits of one byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x55
    path.write_bytes(data)


def test_an_index_that_is_lost_is_made_again(bare, fine, tmp_path):
    store, password = fine
    place = kept(store, tmp_path / "copy")
    shutil.rmtree(place / "index")

    _, said = recover(bare, place, "tar", "data", password=password, code=4)
    tar, _ = recover(bare, place, "tar", "data", "--rebuild", password=password)

    assert "try --rebuild" in said
    assert tar == TAR


def test_an_index_that_is_damaged_is_named(python, fine, tmp_path):
    store, password = fine
    place = kept(store, tmp_path / "copy")
    index = next((place / "index").iterdir())
    spoil(index, 100)

    _, said = recover(python, place, "tar", "data", password=password, code=4)
    tar, _ = recover(python, place, "tar", "data", "--rebuild", password=password)

    assert f"index/{index.name[:16]}" in said
    assert "--rebuild reads the packs" in said
    assert tar == TAR


def test_a_damaged_pack_takes_only_what_needs_it(python, fine, place_of_a_chunk, tmp_path):
    store, password = fine
    place = kept(store, tmp_path / "copy")
    spoil(place / place_of_a_chunk[0], place_of_a_chunk[1])

    before, said = recover(python, place, "tar", "data", password=password, code=4)
    rest, named = recover(python, place, "tar", "data", "--keep-going", password=password, code=4)

    assert "large: chunk" in said
    assert "--keep-going restores the rest" in said
    assert TAR.startswith(before)
    assert rest == header(b"small", size=5) + padded(b"small") + END
    assert "LOST: large: chunk" in named
    assert "LOST: link: it is another name of a file that is lost" in named
    assert "NOT complete" in named


def test_what_is_extracted_in_spite_of_damage_is_whole(bare, fine, place_of_a_chunk, tmp_path):
    store, password = fine
    place = kept(store, tmp_path / "copy")
    (place / place_of_a_chunk[0]).unlink()
    words = ("extract", "data", tmp_path / "out")

    _, said = recover(bare, place, *words, password=password, code=4)
    shutil.rmtree(tmp_path / "out")
    recover(bare, place, *words, "--keep-going", password=password, code=4)

    assert f"{tmp_path / 'out'} is not complete" in said
    assert os.listdir(tmp_path / "out") == ["small"]


@pytest.mark.parametrize("fine", [None], indirect=True)
def test_a_damaged_pack_ends_the_shell_script(tools, fine, place_of_a_chunk, tmp_path):
    store, _ = fine
    place = kept(store, tmp_path / "copy")
    (snapshot_id,) = os.listdir(place / "snapshots")
    spoil(place / place_of_a_chunk[0], place_of_a_chunk[1])

    tar, said = by_shell(tools, place, snapshot_id, code=1)

    assert TAR.startswith(tar)
    assert "is damaged or missing: the output is not complete" in said


def test_a_hole_in_the_list_of_files_takes_only_what_was_there(python, tmp_path):
    """The lines around it are whole; what is lost cannot be named."""
    files = [header(b"%04d" % n, size=1) + padded(b"x") for n in range(500)]
    repository = finely_cut(PASSWORD, manifest_chunks=SMALL)
    save(repository, [*files, END])
    place = kept(memory(repository), tmp_path / "copy")
    manifest = packs_by_size(place)[-1]
    spoil(manifest, manifest.stat().st_size // 3)

    _, said = recover(python, place, "tar", "data", password=PASSWORD, code=4)
    rest, named = recover(python, place, "tar", "data", "--keep-going", password=PASSWORD, code=4)

    assert "files that cannot be named" in said
    assert "LOST: files that cannot be named" in named
    found = [rest[at : at + 1024] for at in range(0, len(rest) - 1024, 1024)]
    assert rest[-1024:] == END
    assert found == [file for file in files if file in found]
    assert 250 < len(found) < 500


@pytest.mark.parametrize("lie", [each for each in LIES if each != "absolute"])
def test_a_header_that_contradicts_the_list_reaches_no_tar(bare, lie, tmp_path):
    repository, record = rewritten(lambda _: {"head": head_to_text(LIES[lie])})
    repository.commit(record)
    place = kept(memory(repository), tmp_path / "copy")

    _, said = recover(bare, place, "tar", "volume:v", code=4)
    tar, named = recover(bare, place, "tar", "volume:v", "--keep-going", code=4)

    assert "d/a: its tar header contradicts" in said or "d/a: another tar header hides" in said
    assert "LOST: d/a: " in named
    assert LIES[lie] not in tar
    assert run(["tar", "-t"], stdin=tar).decode().split() == ["./", "./d/"]


@pytest.mark.parametrize("change", [{"kind": "z"}, {"kind": "z", "head": ""}], ids=str)
def test_what_is_called_the_end_of_the_archive_must_be_it(bare, change, tmp_path):
    repository, record = rewritten(lambda _: change)
    repository.commit(record)
    place = kept(memory(repository), tmp_path / "copy")

    tar, named = recover(bare, place, "tar", "volume:v", "--keep-going", code=4)

    assert "LOST: d/a: it is " in named
    assert b"hello" not in tar


def test_another_copy_of_a_chunk_will_do(python, tools, tmp_path):
    """The same chunks are in two packs: one may be damaged, or deleted while an index names it."""
    store = MemoryStore()
    repository = MAKERS["plain"](store)
    save(repository, [TAR])
    first = {name for name in store.objects if name.startswith("packs/")}
    again = reopened(repository)
    seen = again.readings.current()
    again.readings.replace(seen.without(frozenset(seen.view.live)))
    saved = save(again, [TAR], number=1)
    place = kept(store, tmp_path / "copy")
    for name in first:
        spoil(place / name, 1000 if (place / name).stat().st_size > 2000 else 60)

    tar, _ = recover(python, place, "tar", saved)
    for name in first:
        (place / name).unlink()

    assert tar == TAR
    assert recover(python, place, "tar", saved)[0] == TAR
    assert by_shell(tools, place, saved)[0] == TAR


def test_chunks_in_the_place_of_others_are_noticed(tmp_path):
    """Without encryption the checksums of zstd fit both; the ids do not."""
    python = environment(tmp_path / "environment", "blake3")
    repository = MAKERS["plain"](MemoryStore())
    files = [b"a" * 300_000, b"b" * 300_000]
    stream = [header(b"%d" % n, size=len(b)) + padded(b) for n, b in enumerate(files)]
    save(repository, [*stream, END])
    place = kept(memory(repository), tmp_path / "copy")
    for pack in packs_by_size(place):
        data = pack.read_bytes()
        first = data.find(b"\x28\xb5\x2f\xfd")
        second = data.find(b"\x28\xb5\x2f\xfd", first + 4)
        third = data.find(b"\x28\xb5\x2f\xfd", second + 4)
        if second - first == third - second:
            swapped = data[second:third] + data[first:second]
            pack.write_bytes(data[:first] + swapped + data[third:])

    _, said = recover(python, place, "tar", "data", code=4)

    assert "another chunk is in its place" in said


def test_a_forgotten_snapshot_is_called_so_and_can_be_restored(bare, fine, tmp_path):
    store, password = fine
    place = kept(store, tmp_path / "copy")
    (snapshot_id,) = os.listdir(place / "snapshots")
    (place / "forgotten").mkdir()
    (place / "forgotten" / snapshot_id).write_bytes(b"x")

    listed, _ = recover(bare, place, "list", password=password)
    _, said = recover(bare, place, "tar", "volume:data", password=password, code=1)

    assert listed.decode().rstrip().endswith("  forgotten")
    assert "no snapshots are called 'volume:data'" in said
    assert recover(bare, place, "tar", snapshot_id, password=password)[0] == TAR


def test_a_damaged_snapshot_hides_no_other(python, tmp_path):
    repository = MAKERS["sealed"](MemoryStore())
    first, second = (save(repository, [TAR], number=n) for n in range(2))
    place = kept(memory(repository), tmp_path / "copy")
    spoil(place / "snapshots" / first, 100)

    listed, said = recover(python, place, "list", password=PASSWORD, code=4)

    assert listed.decode().split()[0] == second[:10]
    assert f"damaged: snapshots/{first[:16]}" in said


def test_passwords_are_asked_for_where_they_belong(bare, fine, tmp_path):
    store, password = fine
    place = kept(store, tmp_path / "copy")
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")

    if password is None:
        _, said = recover(bare, place, "list", password="x", code=6)
        assert "a password was given, and this repository is not encrypted" in said
    else:
        assert "opens no key" in recover(bare, place, "list", password="x", code=6)[1]
        assert recover(bare, place, "list", "--password-file", file)[0]
        missing = recover(bare, place, "list", "--password-file", tmp_path / "no", code=6)[1]
        assert missing.startswith("recover.py: error: the password cannot be read: [Errno 2]")
        asked = subprocess.run(
            ["setsid", "--wait", bare, place / "recover.py", "list"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert (asked.returncode, b"Traceback" in asked.stderr) == (6, False)
        assert b"error: no terminal to ask for the password: --password-file" in asked.stderr


def test_any_of_several_passwords_will_do(bare, tmp_path):
    repository = MAKERS["sealed"](MemoryStore())
    put_key(repository.store, cheap_key(repository, "second"))
    memory(repository).objects[f"keys/{'0' * 64}"] = b"{}"
    place = kept(memory(repository), tmp_path / "copy")

    _, said = recover(bare, place, "list", password="second")

    assert f"keys/{'0' * 16} cannot be used" in said


def test_argon2_may_come_from_another_library(bare, tmp_path):
    """An old cryptography has none; here one that is called argon2 does the same."""
    place = kept(memory(MAKERS["sealed"](MemoryStore())), tmp_path / "copy")
    stand_in = tmp_path / "libraries/argon2/low_level.py"
    stand_in.parent.mkdir(parents=True)
    (stand_in.parent / "__init__.py").touch()
    stand_in.write_text(
        "import sys\n"
        "class Type: ID = 2\n"
        "def hash_secret_raw(secret, salt, time_cost, memory_cost, parallelism, hash_len, type):\n"
        "    del sys.modules[name]\n"
        "    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id\n"
        "    return Argon2id(salt=salt, length=hash_len, iterations=time_cost, lanes=parallelism,\n"
        "                    memory_cost=memory_cost).derive(secret)\n"
        "name = 'cryptography.hazmat.primitives.kdf.argon2'\n"
    )
    program = (
        "import runpy, sys\n"
        "sys.modules['cryptography.hazmat.primitives.kdf.argon2'] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )

    def tried(*paths):
        environ = {"VOLTAR_PASSWORD": PASSWORD, "PYTHONPATH": ":".join(map(str, paths))}
        command = [bare, "-c", program, place / "recover.py", "list"]
        return subprocess.run(command, env=environ, capture_output=True, check=False)

    assert tried(stand_in.parents[1]).returncode == 0
    assert b"pip install argon2-cffi" in tried().stderr


def test_a_descriptor_that_was_changed_is_noticed(tmp_path):
    python = environment(tmp_path / "environment", "blake3")
    place = kept(memory(MAKERS["sealed"](MemoryStore())), tmp_path / "copy")
    path = place / "voltar.json"
    path.write_text(path.read_text().replace("4194304", "4194305"))

    assert "its mac does not fit" in recover(python, place, "list", password=PASSWORD, code=4)[1]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["ls", "nope"], 1, "no snapshots are called 'nope'"),
        (["ls"], 2, "ls: too few or too many"),
        (["list", "x"], 2, "list: too few or too many"),
        (["list", "--repository", "/nowhere"], 6, "no voltar.json in /nowhere"),
        (["extract", "data", "/"], 1, "/ is not empty"),
    ],
    ids=str,
)
def test_mistakes_are_told_in_a_sentence(bare, fine, tmp_path, words, code, text):
    store, password = fine
    place = kept(store, tmp_path / "copy")

    _, said = recover(bare, place, *words, password=password, code=code)

    assert text in said


def test_a_reader_that_ends_is_no_traceback(bare, fine, tmp_path):
    store, password = fine
    place = kept(store, tmp_path / "copy")
    read, write = os.pipe()
    os.close(read)

    done = subprocess.run(
        [bare, place / "recover.py", "tar", "data"],
        stdout=write,
        stderr=subprocess.PIPE,
        env={"VOLTAR_PASSWORD": password} if password else {},
        check=False,
    )
    os.close(write)

    assert (done.returncode, b"what reads the output has ended" in done.stderr) == (1, True)
    assert b"Traceback" not in done.stderr


def test_the_shell_script_refuses_to_run_what_an_index_says(tools, tmp_path):
    """What the script makes of an index is run as a program: only ids and numbers get into it."""
    repository = MAKERS["plain"](MemoryStore())
    saved = save(repository, [TAR])
    store = memory(repository)
    (name,) = [name for name in store.objects if name.startswith("index/")]
    data = store.objects.pop(name)
    text = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=True).stdout
    pack = json.loads(text)["tables"][0][0]
    evil = text.replace(pack.encode(), b"$(touch${IFS}evil)".ljust(64, b"x"), 1)
    frame = subprocess.run(["zstd", "-cq"], input=evil, capture_output=True, check=True).stdout
    store.objects[f"index/{digest(frame)}"] = frame
    place = kept(store, tmp_path / "copy")

    _, said = by_shell(tools, place, saved, code=1)

    assert "missing" in said or "no pack" in said
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("fine", [None], indirect=True)
def test_the_shell_script_lists_snapshots(tools, fine, tmp_path):
    store, _ = fine
    place = kept(store, tmp_path / "copy")
    (snapshot_id,) = os.listdir(place / "snapshots")

    listed, _ = by_shell(tools, place)
    (place / "forgotten").mkdir()
    (place / "forgotten" / snapshot_id).touch()

    assert listed.decode() == f"{snapshot_id[:10]}  2026-11-25T03:00:00Z  volume:data\n"
    assert by_shell(tools, place)[0].endswith(b"volume:data  forgotten\n")
    assert "there is no such snapshot" in by_shell(tools, place, "nope", code=1)[1]


def test_the_shell_script_says_what_it_cannot_read(tools, tmp_path):
    sealed = kept(memory(MAKERS["sealed"](MemoryStore())), tmp_path / "copy")

    assert "the repository is encrypted: recover.py" in by_shell(tools, sealed, code=1)[1]
    assert "usage: sh recover.sh" in by_shell(tools, sealed, "a", "b", code=2)[1]
    (sealed / "voltar.json").unlink()
    assert "there are no snapshots in" in by_shell(tools, sealed, code=1)[1]


@pytest.mark.parametrize("fine", [None], indirect=True)
def test_the_shell_script_does_without_voltar_json(tools, fine, tmp_path):
    place = kept(fine[0], tmp_path / "copy")
    (place / "voltar.json").unlink()

    assert by_shell(tools, place)[0].endswith(b"volume:data\n")


def test_an_installed_voltar_has_both(tmp_path):
    project = Path(__file__).parents[2]
    for name in ("backup", "transports", "README.md", "LICENSE", "pyproject.toml"):
        source = project / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)

    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    (wheel,) = tmp_path.glob("*.whl")
    listed = run([sys.executable, "-m", "zipfile", "-l", wheel]).decode()
    assert "backup/repository/recovery/recover.py" in listed
    assert "backup/repository/recovery/recover.txt" in listed


def test_a_real_repository_has_a_working_one(bare, tmp_path):
    """Made as `voltar init` makes it, with a key that takes as long as it should."""
    create(FileStore(tmp_path / "repository"), PASSWORD)

    assert recover(bare, tmp_path / "repository", "list", password=PASSWORD) == (b"", "")

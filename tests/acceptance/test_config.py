"""The configuration as a file of somebody's: written, checked, shown, and used."""

import json
import stat
from collections.abc import Callable

from tests.acceptance.cli import PASSWORD, Voltar
from tests.testbed.scratch import Scratch


def outside(voltar: Voltar) -> Voltar:
    """The command without a repository of its own, with a configuration in its home."""
    return voltar.changed(
        repository=None, password=None, more={"VOLTAR_CONFIG": str(voltar.home / "voltar.toml")}
    )


def test_what_init_writes_is_right_and_runs(
    voltar: Voltar, filled: Callable[..., str], scratch: Scratch, image: str
) -> None:
    volume = filled({"a": b"content"})
    name = scratch.container(image, "true", options=["-v", f"{volume}:/data"])
    file = voltar.home / "etc/voltar.toml"
    secret = voltar.home / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    words = ("--config", file, "--password-file", secret)

    voltar(*words, "config", "init")
    bare = outside(voltar).changed(more={"VOLTAR_CONFIG": str(file)})

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert name in file.read_text()
    assert "1 job, 1 repository" in bare("config", "check").text
    assert f"volume:{volume}" in bare("run", "nightly").text
    assert f"volume:{volume}" in [each["source"] for each in bare.ask("snapshots")]


def test_init_changes_no_file_that_is_there(voltar: Voltar) -> None:
    file = voltar.home / "voltar.toml"
    file.write_text("mine")

    said = voltar("--config", file, "config", "init", code=2).err

    assert "there is a configuration already" in said
    assert file.read_text() == "mine"
    assert [each.name for each in voltar.home.iterdir()] == ["voltar.toml"]


def test_init_tells_where_it_cannot_write(voltar: Voltar) -> None:
    (voltar.home / "file").write_text("")

    said = voltar("--config", voltar.home / "file/voltar.toml", "config", "init", code=2).err

    assert "cannot write the configuration" in said


def test_init_without_an_engine_leaves_nothing(voltar: Voltar) -> None:
    file = voltar.home / "new/voltar.toml"

    voltar.changed(url="unix:///nowhere.sock")("--config", file, "config", "init", code=1)

    assert not file.parent.exists()


def test_check_tells_all_mistakes_to_people_and_to_scripts(voltar: Voltar) -> None:
    jobs = outside(voltar)
    file = voltar.home / "voltar.toml"
    file.write_text("paralel = 1\n[jobs.a]\nall = 1\n")

    said = jobs("config", "check", code=2).err
    told = json.loads(jobs("config", "check", "--json", code=2).out)

    assert f"{file}:1: paralel: there is no such key (did you mean parallel?)" in said
    assert f"{file}:3: jobs.a.all: expected true or false, got 1" in said
    assert [(each["line"], each["key"]) for each in told["mistakes"]] == [
        (1, "paralel"),
        (3, "jobs.a.all"),
    ]
    assert not told["valid"]
    assert "has 2 mistakes" in jobs("run", "a", code=2).err
    assert "has 2 mistakes" in jobs("snapshots", code=2).err


def test_a_repository_of_the_configuration_is_known_by_its_name(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    secret = voltar.home / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    jobs = outside(voltar)
    repository = f'location = "{voltar.repository}"\npassword-file = "secret"\n'
    (voltar.home / "voltar.toml").write_text(
        f'[repositories.main]\n{repository}[repositories.other]\nlocation = "other"\n'
        f'[hosts.here]\nurl = "{voltar.url}"\n'
    )

    jobs("-r", "other", "init", "--no-encryption")
    away = jobs.changed(url="unix:///nowhere.sock")
    away("--host", "here", "-r", "main", "backup", filled())
    jobs("-r", "other", "copy", "--from", "main")

    assert (voltar.home / "other/voltar.json").exists()
    assert len(jobs.ask("-r", "other", "snapshots")) == 1
    assert "say -r main or -r other" in jobs("snapshots", code=6).err


def test_an_unencrypted_repository_in_the_place_of_an_encrypted_one_gets_nothing(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    (voltar.home / "secret").write_text(PASSWORD)
    (voltar.home / "voltar.toml").write_text(
        '[repositories.main]\nlocation = "planted"\npassword-file = "secret"\n'
        f'[jobs.nightly]\nvolumes = ["{filled()}"]\n'
    )
    jobs = outside(voltar)
    jobs("-r", voltar.home / "planted", "init", "--no-encryption")

    jobs("run", "nightly", code=6)

    assert not list((voltar.home / "planted/snapshots").glob("*"))


def test_a_job_without_a_configured_repository_uses_that_of_the_environment(
    voltar: Voltar, filled: Callable[..., str]
) -> None:
    file = voltar.home / "voltar.toml"
    file.write_text(f'[jobs.nightly]\nvolumes = ["{filled()}"]\n')
    jobs = voltar.changed(more={"VOLTAR_CONFIG": str(file)})

    jobs("run", "nightly")

    assert len(voltar.ask("snapshots")) == 1
    said = jobs.changed(repository=None)("run", "nightly", code=2).err
    assert "names no repository" in said


def test_a_job_is_not_stored_elsewhere_than_its_configuration_says(voltar: Voltar) -> None:
    (voltar.home / "voltar.toml").write_text("repositories.a.location='/x'\njobs.b.all=true\n")

    said = outside(voltar)("-r", "/elsewhere", "run", "b", code=2).err

    assert "-r is not for jobs" in said

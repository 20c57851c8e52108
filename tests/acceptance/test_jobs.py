"""Jobs that the configuration describes: chosen, run, written down, thinned out."""

from collections.abc import Callable
from pathlib import Path

from tests.acceptance.cli import Voltar


def configured(voltar: Voltar, text: str) -> Voltar:
    """The command with a configuration of its own, and no repository but those in it."""
    path = voltar.home / "voltar.toml"
    secret = voltar.home / "password"
    secret.write_text(str(voltar.password))
    secret.chmod(0o600)
    repository = f'location = "{voltar.repository}"\npassword-file = "{secret}"\n'
    path.write_text(f"[repositories.main]\n{repository}\n{text}")
    return voltar.changed(repository=None, password=None, more={"VOLTAR_CONFIG": str(path)})


def test_a_job_saves_what_it_names_and_keeps_what_its_policy_says(
    voltar: Voltar, filled: Callable[..., str], tmp_path: Path
) -> None:
    volume = filled({"a": b"content"})
    jobs = configured(voltar, f'[jobs.nightly]\nvolumes = ["{volume}"]\nkeep = {{ last = 2 }}\n')

    for _ in range(3):
        done = jobs("run", "nightly")
        assert f"volume:{volume}" in done.text

    assert len(voltar.ask("snapshots")) == 2
    assert [one["job"] for one in jobs.ask("log", "--list")] == ["nightly"] * 3

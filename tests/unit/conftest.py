"""What each unit test begins with."""

import pytest

from backup import discretion


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what one test told the process to hide stay in the next one's texts."""
    monkeypatch.setattr(discretion, "_known", set())

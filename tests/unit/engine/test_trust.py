"""What an engine would do is what its own rules say."""

import pytest

from backup.engine.trust import demand_trust, would_speak_plainly
from backup.errors import UsageError

CONFIG = {
    "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8", "10.1.0.0/16"],
    "IndexConfigs": {
        "docker.io": {"Secure": True},
        "plain.invalid:5000": {"Secure": False},
        "127.9.9.9:5000": {"Secure": True},
    },
}
INFO = {"Name": "host", "RegistryConfig": CONFIG}


@pytest.mark.parametrize(
    ("registry", "plainly"),
    [
        ("127.0.0.1:5000", True),
        ("127.0.0.1", True),
        ("10.1.2.3:80", True),
        ("10.2.2.3:80", False),
        ("[::1]:5000", True),
        ("[::2]:5000", False),
        ("localhost:5000", True),
        ("localhost", True),
        ("plain.invalid:5000", True),
        ("plain.invalid", False),
        ("plain.invalid:5001", False),
        ("docker.io", False),
        ("127.9.9.9:5000", False),
    ],
)
def test_an_engine_would_speak_plainly_or_not(registry, plainly):
    assert would_speak_plainly(CONFIG, registry) is plainly


def test_an_engine_without_a_configuration_wants_tls():
    assert would_speak_plainly({}, "127.0.0.1") is False


def test_plain_http_wants_a_word_that_names_the_registry():
    with pytest.raises(UsageError, match="nothing was sent") as refused:
        demand_trust(INFO, "127.0.0.1:5000", ["127.0.0.1:5001", "127.0.0.1"])

    assert "--plain-http 127.0.0.1:5000" in str(refused.value.hint)
    demand_trust(INFO, "127.0.0.1:5000", ["127.0.0.1:5000"])


def test_a_word_that_the_engine_does_not_follow_is_refused():
    with pytest.raises(UsageError, match="insists on TLS") as refused:
        demand_trust(INFO, "h.invalid:5000", ["h.invalid:5000"])

    assert '"insecure-registries": ["h.invalid:5000"]' in str(refused.value.hint)
    demand_trust(INFO, "h.invalid:5000", [])

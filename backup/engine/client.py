"""docker-py's client, over our own connections.

docker-py carries the requests (sockets, TLS, API version); its higher layers are not used, for they
drop every field that they do not model.
"""

import docker  # type: ignore[import-untyped]
import docker.errors  # type: ignore[import-untyped]

from backup.engine.adapter import EngineAdapter
from backup.engine.address import Address
from backup.engine.door import reaching, unavailable

OLDEST_API = "1.24"


def client(address: Address, version: str | None, timeout_s: float) -> docker.APIClient:
    """Return a client that speaks a version of the API, or the engine's. Raises EngineError."""
    adapter = EngineAdapter(address)
    try:
        if version is None:
            with reaching(address):
                asking = _session(address, OLDEST_API, timeout_s, adapter)
                version = str(asking.version(api_version=False)["ApiVersion"])
        return _session(address, version, timeout_s, adapter)
    except docker.errors.DockerException as error:
        adapter.close()
        raise unavailable(address, error) from error
    except BaseException:
        adapter.close()
        raise


def _session(
    address: Address, version: str, timeout_s: float, adapter: EngineAdapter
) -> docker.APIClient:
    """A client that says nothing yet. The environment's proxies and certificates are not for it."""
    with reaching(address):
        made = docker.APIClient(base_url="unix:///engine", version=version, timeout=timeout_s)
    made.trust_env = False
    made.mount(made.base_url, adapter)
    return made

"""docker-py's client, over our own connections.

docker-py carries the requests (sockets, TLS, API version); its higher layers are not used, for they
drop every field that they do not model.
"""

import sys
from typing import Any

from backup.engine.adapter import EngineAdapter
from backup.engine.door import unavailable
from backup.engine.route import Route

OLDEST_API = "1.24"
_ITS_SSH = "docker.transport.sshconn"


def _loaded() -> Any:
    """docker-py without its own SSH, which it loads wherever it can, with paramiko and all that
    needs: half of the time that docker-py takes to load."""
    sys.modules.setdefault(_ITS_SSH, None)  # type: ignore[arg-type]  # then it is not found
    import docker  # type: ignore[import-untyped]  # noqa: PLC0415

    if sys.modules[_ITS_SSH] is None:
        del sys.modules[_ITS_SSH]
    return docker


docker = _loaded()


def client(route: Route, version: str | None, timeout_s: float) -> Any:
    """Return docker-py's client that speaks a version of the API, or the engine's.

    Raises EngineError.
    """
    adapter = EngineAdapter(route)
    try:
        if version is None:
            with route.reaching():
                asking = _session(route, OLDEST_API, timeout_s, adapter)
                version = str(asking.version(api_version=False)["ApiVersion"])
        return _session(route, version, timeout_s, adapter)
    except docker.errors.DockerException as error:
        adapter.close()
        raise unavailable(route.address, error) from error
    except BaseException:
        adapter.close()
        raise


def _session(route: Route, version: str, timeout_s: float, adapter: EngineAdapter) -> Any:
    """A client that says nothing yet. The environment's proxies and certificates are not for it."""
    with route.reaching():
        made = docker.APIClient(base_url="unix:///engine", version=version, timeout=timeout_s)
    made.trust_env = False
    made.mount(made.base_url, adapter)
    return made

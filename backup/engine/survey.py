"""What an operator wants to know about an engine and about helpers on it, for `voltar doctor`."""

from dataclasses import dataclass

from backup.engine.connect import Engine
from backup.engine.helper import Helper, helper
from backup.engine.image import image
from backup.engine.lifetime import Access
from backup.errors import HelperFailed

TOOLS = ("tar", "find", "zstd")
_SNAPSHOTTER = "io.containerd.snapshotter.v1"
_SYS_ADMIN = 1 << 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Facts about one engine. `sys_admin` is granted, dropped (by the setting) or refused."""

    name: str
    url: str
    origin: str
    version: str
    api_version: str
    architecture: str
    kernel: str
    data_root: str
    storage_driver: str
    image_store: str
    user_namespaces: bool
    rootless: bool
    helper_image: str
    helper_built: bool
    data_plane: str
    data_plane_why: str
    tools: dict[str, str]
    sys_admin: str


def survey(engine: Engine) -> Survey:
    """Find out; runs a helper. Raises EngineError when there can be none."""
    info = engine.info
    security = [str(one) for one in info.get("SecurityOptions") or []]
    store = any(one[:2] == ["driver-type", _SNAPSHOTTER] for one in info.get("DriverStatus") or [])
    used = image(engine)
    with helper(engine, (), access=Access.READ, run="survey") as h:
        tools = {name: _version(h, name) for name in TOOLS}
        sys_admin = _sys_admin(engine, h)
        data_plane, why = h.data_plane, h.data_plane_why
    return Survey(
        name=engine.name,
        url=engine.url,
        origin=engine.address.origin,
        version=engine.version,
        api_version=engine.api_version,
        architecture=engine.architecture,
        kernel=str(info.get("KernelVersion", "")),
        data_root=str(info.get("DockerRootDir", "")),
        storage_driver=str(info.get("Driver", "")),
        image_store="containerd" if store else "classic",
        user_namespaces=any("name=userns" in one for one in security),
        rootless=any("name=rootless" in one for one in security),
        helper_image=used.reference,
        helper_built=used.built,
        data_plane=data_plane,
        data_plane_why=why,
        tools=tools,
        sys_admin=sys_admin,
    )


def _version(h: Helper, name: str) -> str:
    """The first line of a tool's --version; empty where it is missing."""
    try:
        return h.run([name, "--version"]).decode(errors="replace").strip().partition("\n")[0]
    except HelperFailed:
        return ""


def _sys_admin(engine: Engine, h: Helper) -> str:
    if not engine.settings.sys_admin:
        return "dropped"
    lines = h.run(["cat", "/proc/self/status"]).decode().splitlines()
    effective = next(int(one.split()[1], 16) for one in lines if one.startswith("CapEff:"))
    return "granted" if effective & _SYS_ADMIN else "refused"

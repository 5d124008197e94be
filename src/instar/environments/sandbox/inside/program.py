"""A program run as Python runs a script: its own `__main__`, its traceback, its exit status."""

from __future__ import annotations

import atexit
import contextlib
import io
import linecache
import os
import sys
import threading
import traceback
import types
from typing import NoReturn

NAME = "program.py"


def execute(source: str) -> NoReturn:
    """Run `source` and end this process as an interpreter would."""
    sys.stdin = _stream(0, "r")
    sys.stdout, sys.stderr = _stream(1, "w"), _stream(2, "w")
    sys.argv = [NAME]
    main = types.ModuleType("__main__")
    main.__dict__["__file__"] = NAME
    sys.modules["__main__"] = main
    linecache.cache[NAME] = (len(source), None, source.splitlines(keepends=True), NAME)
    status = _run(source, main)
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(status)


def _run(source: str, main: types.ModuleType) -> int:
    try:
        exec(compile(source, NAME, "exec"), main.__dict__)
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return (leaving.code or 0) & 0xFF
        with contextlib.suppress(BaseException):
            sys.stderr.write(f"{leaving.code}\n")
        return 1
    except BaseException as error:
        with contextlib.suppress(BaseException):
            # The frames of this file are not the program's.
            told = error.__traceback__.tb_next if error.__traceback__ else None
            traceback.print_exception(type(error), error, told)
        return 1
    return 0


def _stream(handle: int, mode: str) -> io.TextIOWrapper:
    raw = os.fdopen(handle, f"{mode}b", closefd=False)
    return io.TextIOWrapper(raw, "utf-8", "backslashreplace" if mode == "w" else "surrogateescape")

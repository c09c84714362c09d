"""A fork that becomes a command: it looks as a new process does, and runs a module as `python -m` does."""

from __future__ import annotations

import atexit
import contextlib
import io
import logging
import os
import random
import runpy
import signal
import sys
import threading
import time
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast


def become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Have this fork look as a new process does."""
    if request["session"]:
        os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate([null, *descriptors]):
        os.dup2(descriptor, number)
    for descriptor in {null, *descriptors} - {0, 1, 2}:
        os.close(descriptor)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), encoding="utf-8")
    unbuffered = bool(request["env"].get("PYTHONUNBUFFERED"))
    sys.stdout = sys.__stdout__ = _stream(1, unbuffered=unbuffered)
    sys.stderr = sys.__stderr__ = _stream(2, "backslashreplace", line_buffering=True, unbuffered=unbuffered)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random.seed()
    time.tzset()
    _reset_logging()
    sys.argv = [request["module"], *request["arguments"]]


def _reset_logging() -> None:
    """Undo what Prefect configured when it was imported; it does so again when it is wanted."""
    loggers = [logging.root, *(each for each in logging.root.manager.loggerDict.values() if hasattr(each, "handlers"))]
    for logger in cast("list[logging.Logger]", loggers):
        logger.handlers.clear()
        logger.setLevel(logging.WARNING if logger is logging.root else logging.NOTSET)
        logger.propagate, logger.disabled = True, False


def _stream(
    descriptor: int, errors: str = "strict", *, line_buffering: bool = False, unbuffered: bool = False
) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    buffered = cast("io.BufferedWriter", raw) if unbuffered else io.BufferedWriter(raw)
    by_line = line_buffering or os.isatty(descriptor)
    return io.TextIOWrapper(buffered, encoding="utf-8", errors=errors, line_buffering=by_line, write_through=unbuffered)


class Frozen(MetaPathFinder, Loader):
    """Brings Prefect, and what imports it, back when the command first imports one of them.

    Prefect reads its settings and configures logging when it is imported; here it does so then.
    """

    def __init__(self, names: set[str]) -> None:
        self._modules = {name: sys.modules.pop(name) for name in names}

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in self._modules else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        sys.meta_path.remove(self)
        sys.modules.update(self._modules)
        self._spec = self._modules[spec.name].__spec__
        return self._modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        from prefect.context import refresh_global_settings_context
        from prefect.logging.configuration import PROCESS_LOGGING_CONFIG, setup_logging

        module.__spec__ = self._spec
        refresh_global_settings_context()
        PROCESS_LOGGING_CONFIG.clear()
        setup_logging()


def run_module(module: str) -> None:
    """Run a module and end as the interpreter does, but for taking thousands of modules apart one by one."""
    code: Any = None
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    if code is not None and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as at any end
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # its reader has gone, or the command closed it
            stream.flush()
    os._exit((code or 0) & 0xFF)

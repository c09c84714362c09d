"""Start commands of the project from one process that has imported them already.

`python -m flows.cli.main` spends most of its processor time on imports of Prefect. A test that starts a dozen commands
pays for them a dozen times. Here one process for the whole test run imports everything once, and each command is a fork
of it: a process of its own, with its own environment, directory, descriptors, signals and exit code, that runs the
module as `python -m` does. Tests of the start itself use `subprocess`.

The fork server is started by the first command that asks for it and ends with the test run. A process that it started
is killed when whoever holds its `Process` is gone, so that no test process leaves one behind.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import io
import json
import logging
import math
import os
import random
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import IO, Any, cast

from tests.support.environment import clean
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]

SESSION = "TESTS_SESSION"
"""Names the directory and the process of the test run, for its worker processes."""

WITHOUT_PREFECT = (
    "flows.cli.main",
    "tasks.embedded.__main__",
    "boto3",
    "moto.server",
    *(f"moto.{name}.models" for name in ("autoscaling", "cloudformation", "cloudwatch", "dynamodb", "ec2", "ecs")),
    *(f"moto.{name}.models" for name in ("elbv2", "iam", "logs", "s3", "sagemaker", "ssm", "sts")),
)

WITH_PREFECT = (
    "flows.idle_shutdown",
    "flows.plan_costs",
    "flows.local.run_flow",
    "flows.local.bring_up",
    "flows.api.app",
    "flows.api.service",
    "prefect.cli",
    "prefect.server.api.server",
    "prefect.workers.process",
)

AT_A_TERMINAL = ("flows.cli",)
"""Modules whose consoles look at the environment when they are imported: each command imports them anew."""

SETTINGS = {
    **{"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
    # moto reads these when it is imported.
    **{"MOTO_ENABLE_AMI_VALIDATION": "1", "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "1"},
}

_FAREWELL_SECONDS = 10.0


class Process:
    """A command that the fork server started, as `subprocess.Popen` has it with `text=True`.

    Attributes:
        pid: of the process itself.
        stdout: what it prints, if it was asked for with PIPE.
        stderr: likewise.
        returncode: its exit code, negative for a signal; None until it is waited for or polled.
    """

    def __init__(self, arguments: Sequence[str], pid: int, status: socket.socket, pipes: Mapping[str, IO[str]]) -> None:
        self.args = list(arguments)
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = pipes.get("stdout")
        self.stderr = pipes.get("stderr")
        self._status = status.detach()  # a socket that nobody has closed would warn, and be closed too early

    def poll(self) -> int | None:
        """Return the exit code if it has ended, else None."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its exit code."""
        if self._look(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return all that it printed and has not been read yet, when it has ended."""
        printed: dict[str, list[str]] = {"stdout": [], "stderr": []}
        readers = [
            threading.Thread(target=lambda to, pipe: to.append(pipe.read()), args=(printed[name], pipe), daemon=True)
            for name, pipe in (("stdout", self.stdout), ("stderr", self.stderr))
            if pipe is not None and not pipe.closed
        ]
        for reader in readers:
            reader.start()
        deadline = None if timeout is None else time.monotonic() + timeout
        for reader in readers:
            reader.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        self._close()
        return "".join(printed["stdout"]), "".join(printed["stderr"])

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Process:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for its end."""
        self._close()
        self.wait()

    def _close(self) -> None:
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()

    def __del__(self) -> None:
        """Let go of it, and so have it killed: a test that failed has not waited for it."""
        self._close()
        os.close(self._status)

    def _look(self, timeout: float | None) -> int | None:
        """Read the exit code and leave it there: several threads may wait for one process."""
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._status, select.POLLIN)
            if not waiting.poll(None if timeout is None else math.ceil(timeout * 1000)):
                return None
            with socket.socket(fileno=os.dup(self._status)) as status:
                told = status.recv(64, socket.MSG_PEEK)
            if not told:
                raise RuntimeError("The fork server has ended.")
            self.returncode = int(told)
        return self.returncode


def start(
    module: str,
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str],
    stdout: int | IO[Any] = subprocess.PIPE,
    stderr: int | IO[Any] = subprocess.PIPE,
    new_session: bool = False,
) -> Process:
    """Run a module of the project as `python -m MODULE ARGUMENTS` would, without its imports.

    Args:
        module: runs as `__main__`.
        arguments: of the command line.
        cwd: its directory.
        env: its whole environment.
        stdout: PIPE, DEVNULL, or a file to write to.
        stderr: likewise; or STDOUT.
        new_session: whether it leads a session, and so a process group, of its own.
    """
    pipes: dict[str, IO[str]] = {}
    opened: list[int] = []

    def descriptor(name: str, wanted: int | IO[Any]) -> int:
        if wanted == subprocess.PIPE:
            ours, theirs = os.pipe()
            pipes[name] = os.fdopen(ours, encoding="utf-8", errors="backslashreplace")
            opened.append(theirs)
            return theirs
        if wanted == subprocess.DEVNULL:
            opened.append(os.open(os.devnull, os.O_RDWR))
            return opened[-1]
        return wanted if isinstance(wanted, int) else wanted.fileno()

    out = descriptor("stdout", stdout)
    err = out if stderr == subprocess.STDOUT else descriptor("stderr", stderr)
    request = {"module": module, "arguments": arguments, "cwd": str(cwd), "env": dict(env), "session": new_session}
    connection = _connect()
    try:
        content = json.dumps(request).encode()
        connection.sendall(len(content).to_bytes(4, "big"))
        socket.send_fds(connection, [content[:1]], [out, err])
        connection.sendall(content[1:])
        pid = int.from_bytes(_received(connection, 4), "big")
    finally:
        for each in opened:
            os.close(each)
    return Process([module, *arguments], pid, connection, pipes)


def run(module: str, *arguments: str, cwd: Path, env: Mapping[str, str]) -> str:
    """Run a module to its end, and return what it printed.

    Raises:
        AssertionError: it ended with an exit code other than 0.
    """
    with start(module, *arguments, cwd=cwd, env=env, stderr=subprocess.STDOUT) as process:
        printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, printed
    return printed


def log(session: str) -> Path:
    """Return where the fork server of a test run notes each process: its pid, the test, and the command."""
    return Path(session.rsplit(":", 1)[0]) / "forkserver.log"


def _connect() -> socket.socket:
    directory, pid = os.environ[SESSION].rsplit(":", 1)
    address = Path(directory) / "forkserver"
    with address.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            _launch(address, int(pid))
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(address))
    return connection


def _launch(address: Path, session: int) -> None:
    """Start the fork server; who connects before it has imported everything waits."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(address))
    listener.listen(64)
    with address.with_suffix(".log").open("ab") as output:
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.support.forkserver", str(listener.fileno()), str(session)],
            cwd=ROOT,
            env={**clean("AWS_"), **SETTINGS, "PREFECT_HOME": str(address.parent / "prefect"), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
    listener.close()
    server.returncode = 0  # it outlives this process's interest in it: nobody waits, and nothing warns of that


def _received(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            raise RuntimeError("The fork server has ended; its log is forkserver.log of the test run's directory.")
        content += part
    return content


class _InChildError(Exception):
    """Unwinds the server in a fork, so that the command runs at the top of the stack."""

    def __init__(self, request: dict[str, Any], descriptors: list[int]) -> None:
        super().__init__(request["module"])
        self.request = request
        self.descriptors = descriptors


class _Server:
    def __init__(self, listener: socket.socket, session: int) -> None:
        self._listener = listener
        self._session = os.pidfd_open(session)
        self._wake, wake = socket.socketpair()
        self._waker = wake
        wake.setblocking(False)
        self._running: dict[int, socket.socket] = {}
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector = selectors.DefaultSelector()
        for each in (listener, self._session, self._wake):
            self._selector.register(each, selectors.EVENT_READ)

    def serve(self) -> None:
        """Fork for whoever asks, until the test run has ended.

        Raises:
            _InChildError: in each fork.
        """
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wake:
                    self._wake.recv(4096)
                    self._reap()
                elif key.fileobj == self._session:
                    self._end()
                    return
                else:  # nobody holds the process any more
                    self._selector.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        size = int.from_bytes(_received(connection, 4), "big")
        first, descriptors, _, _ = socket.recv_fds(connection, 1, 2)
        request = json.loads(first + _received(connection, size - 1))
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            self._close()
            connection.close()
            raise _InChildError(request, descriptors)
        for each in descriptors:
            os.close(each)
        test = request["env"].get("PYTEST_CURRENT_TEST", "no test")
        sys.stdout.write(f"{pid}\t{test}\t{' '.join([request['module'], *request['arguments']])}\n")
        sys.stdout.flush()
        self._running[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ, pid)
        with contextlib.suppress(OSError):
            connection.sendall(pid.to_bytes(4, "big"))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            connection = self._running.pop(pid, None)
            if connection is not None:
                with contextlib.suppress(KeyError):  # its holder is gone
                    self._selector.unregister(connection)
                with contextlib.suppress(OSError):
                    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
                connection.close()

    def _end(self) -> None:
        for number, seconds in ((signal.SIGTERM, _FAREWELL_SECONDS), (signal.SIGKILL, 1.0)):
            for pid in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while self._running and time.monotonic() < deadline:
                time.sleep(0.05)
                self._reap()

    def _close(self) -> None:
        self._selector.close()
        for each in (self._listener, self._wake, self._waker, *self._running.values()):
            each.close()
        os.close(self._session)


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
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


class _Frozen(MetaPathFinder, Loader):
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


def _run(module: str) -> None:
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


def main(listener: int, session: int) -> None:
    """Serve, and in each fork run the command."""
    for name in WITHOUT_PREFECT:
        importlib.import_module(name)
    from tests.support import tls  # not for those who ask the fork server: it wants certifi

    known = set(sys.modules)
    assert "prefect" not in known
    for name in WITH_PREFECT:
        importlib.import_module(name)
    late = {name for name in set(sys.modules) - known if name.partition(".")[0] in {"prefect", "flows", "tasks"}}
    tls.share_default_context()
    assert threading.active_count() == 1, threading.enumerate()  # a fork has none but its own
    gc.collect()
    gc.freeze()
    server = _Server(socket.socket(fileno=listener), session)
    try:
        server.serve()
    except _InChildError as child:
        request, descriptors = child.request, child.descriptors
    else:
        return
    _become(request, descriptors)
    own = {request["module"], f"{request['module']}.__main__"}
    for name in [name for name in sys.modules if name in own or name.startswith(AT_A_TERMINAL)]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Frozen(late & set(sys.modules)))
    _run(request["module"])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

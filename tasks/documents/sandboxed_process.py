"""A sandboxed process from outside: started, asked, and ended."""

import asyncio
import logging
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from tasks.core.environment import PYTHON, select_variables
from tasks.core.errors import RendererError
from tasks.documents.answers import CONFINED, Confined, MalformedError, parsed
from tasks.documents.wire import HEAD, LONGEST_MESSAGE, packed

_START_SECONDS = 120.0
# The signals that end a process after its processor time; see `confine.limit_processor`.
_OUT_OF_TIME = {-signal.SIGPROF, -signal.SIGXCPU}
_LONGEST_CAUSE = 200
_MOST_STDERR = 2**16

_log = logging.getLogger(__name__)
_logged: set[str] = set()


class CrashedError(Exception):
    """The process died of the request, was killed, or sent an invalid response."""


class SandboxedProcess:
    """A process that confines itself before its first request; started when it is first needed.

    Args:
        command: of the process; the descriptor of its socket is its last argument.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._running: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._confined = False

    @asynccontextmanager
    async def _request(self) -> AsyncIterator[None]:
        """End the process if its response is invalid, or if the wait for it is cancelled."""
        try:
            yield
        except (EOFError, ConnectionError, MalformedError, ValueError) as error:
            if isinstance(error, MalformedError | ValueError):
                _log.warning("The process that renders pages sent an invalid response and was ended: %s", error)
            process = self._running
            await self.end()
            if process is not None and process.returncode in _OUT_OF_TIME:
                raise TimeoutError from None
            raise CrashedError from None
        except BaseException:  # its response would be taken for the next request's
            await self.end()
            raise

    async def start(self) -> None:
        """Start the process, unless it runs."""
        if self._running is not None and self._running.poll() is not None:
            await self.end()  # it died between two pages
        if self._running is None:
            self._running, self._socket = _started(self._command)

    async def _ready(self, memory_mb: int) -> None:
        """Start the process, and wait until it has confined itself to so much memory, in megabytes."""
        await self.start()
        if self._confined:
            return
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._send({"memory_mb": memory_mb})
                confined = parsed(await self._message(), CONFINED)
        except (EOFError, ConnectionError, TimeoutError):
            output = await asyncio.to_thread(self._last_output)
            raise _start_error(output) from None
        self._confined = True
        _log_confinement(confined)

    def _last_output(self) -> str:
        process = self._running
        if process is None or process.stderr is None:
            return ""
        process.kill()
        return process.stderr.read(_MOST_STDERR).decode(errors="replace")

    async def _send(self, message: dict[str, Any], *descriptors: int) -> None:
        assert self._socket is not None  # noqa: S101 - narrows the type: the process was started
        data = packed(message)
        # It fits into the socket's buffer: it is short, and the process has read everything before.
        sent = socket.send_fds(self._socket, [data], descriptors) if descriptors else 0
        await asyncio.get_running_loop().sock_sendall(self._socket, data[sent:])

    async def _send_bytes(self, data: bytes) -> None:
        """Send bytes that the process is waiting for."""
        assert self._socket is not None  # noqa: S101 - as above
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def _message(self) -> bytes:
        (size,) = HEAD.unpack(await self._exactly(HEAD.size))
        if size > LONGEST_MESSAGE:
            raise MalformedError(f"a message of {size} bytes")
        return await self._exactly(size)

    async def _exactly(self, size: int) -> bytes:
        assert self._socket is not None  # noqa: S101 - as above
        loop, received, at = asyncio.get_running_loop(), bytearray(size), 0
        view = memoryview(received)
        while at < size:
            count = await loop.sock_recv_into(self._socket, view[at:])
            if not count:
                raise EOFError
            at += count
        view.release()
        return bytes(received)

    async def end(self) -> None:
        """End the process."""
        process, channel = self._running, self._socket
        self._running = self._socket = None
        self._confined = False
        if process is not None and channel is not None:
            process.kill()
            with suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)  # wakes a waiting reader
            # The system takes a while to release its memory.
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, _reap, process, channel))


def _started(command: Sequence[str]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    with theirs:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [*command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                cwd="/",
                env=select_variables(PYTHON),
            )
        except OSError as error:
            ours.close()
            raise _start_error(error.strerror or str(error)) from None
    return process, ours


def _reap(process: subprocess.Popen[bytes], channel: socket.socket) -> None:
    with process, channel:  # waits for its end, and closes the pipes and the socket
        pass


def _log_confinement(confined: Confined) -> None:
    """Log once which protection this machine's kernel lacks."""
    missing = [] if confined.landlock else ["Landlock"]
    missing += [] if confined.seccomp else ["seccomp"]
    if missing and not _logged.intersection(missing):
        _logged.update(missing)
        _log.info(
            "This system has no %s: the process that opens documents is confined only by its limits, its empty "
            "environment and its user's rights.",
            " and no ".join(missing),
        )


def _start_error(output: str) -> RendererError:
    cause = (output.strip().splitlines() or ["it ended without a message"])[-1][:_LONGEST_CAUSE]
    return RendererError(
        f"The process that renders pages does not start: {cause}. If the memory of processes is limited "
        "(ulimit -v), raise the limit: it needs at least 300 MB."
    )

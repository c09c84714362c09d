"""A proxy before an Ollama that breaks its answers on purpose, over real sockets, after toxiproxy's manner.

A plan is asked at each request what is to happen to it. What has no fault is forwarded byte for byte, and the client's
connection is kept for its next request.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit
from weakref import WeakSet

from tests.faults.marks import Page, page_asked
from tests.faults.wire_faults import GENERATE, HARMLESS, SAID, Call, Fault, Kind, Plan, broken, nothing

_PASSES = 20
"""Of the loop, in which what has been answered is noted as such."""


class FaultProxy:
    """See the module.

    Attributes:
        url: where it listens.
        plan: what it does; may be changed at any time.
        calls: all that came.
        pages_at_once: most requests for pages that were with it at one moment.
    """

    def __init__(self, upstream: str, plan: Plan = nothing) -> None:
        self.plan = plan
        self.calls: list[Call] = []
        self.pages_at_once = 0
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._counts: Counter[object] = Counter()
        self._inside: dict[asyncio.StreamWriter, Call] = {}
        self._deaf = 0
        self._server: asyncio.Server | None = None
        self._later: set[asyncio.Task[None]] = set()
        self._transports: WeakSet[asyncio.WriteTransport] = WeakSet()
        # Bound to the end, so that nobody else gets the port while the proxy refuses connections.
        self._bound = _bound(0)
        self._port = self._bound.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy")
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def asked(self, page: Page | None = None) -> list[Call]:
        """The requests for a page, or for any."""
        return [call for call in self.calls if (call.page == page if page else call.page is not None)]

    def close(self) -> None:
        """End it, with all its connections."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._bound.close()

    async def _listen(self) -> None:
        listening = _bound(self._port)
        listening.listen(256)
        self._server = await asyncio.start_server(self._connected, sock=listening, limit=2**26)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for transport in self._transports:  # of connections that nobody had begun to serve, or with unsent bytes
            transport.abort()
        await asyncio.sleep(0)  # they close their sockets

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Coroutine[object, object, None]:
        self._transports.add(writer.transport)
        return self._served(reader, writer)

    async def _served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._requests(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):  # either side went away, or the proxy ends
            _reset(writer)
        finally:
            writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # One byte is always being waited for: the next request's first, or the news that the client has left.
        ahead = asyncio.ensure_future(reader.read(1))
        try:
            while start := await ahead:
                head = start + await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(_header(head, b"content-length") or 0))
                ahead = asyncio.ensure_future(reader.read(1))
                call = self._noted(head, body)
                if call.page is not None:
                    self._inside[writer] = call
                    self._soon(self._counted())
                answering = asyncio.ensure_future(self._answer(call, head + body, writer))
                try:
                    await asyncio.wait({answering, ahead}, return_when=asyncio.FIRST_COMPLETED)
                    if not answering.done() and (ahead.exception() or not ahead.result()):
                        call.left = True
                        return
                    await answering
                finally:
                    answering.cancel()
                    await asyncio.wait({answering})
                    self._inside.pop(writer, None)
        finally:
            ahead.cancel()

    def _noted(self, head: bytes, body: bytes) -> Call:
        path = head.split(b" ", 2)[1].decode()
        page = page_asked(body) if path == GENERATE else None
        self._counts[page or path] += 1
        call = Call(path, page, self._counts[page or path], time.time())
        call.fault = self.plan(call)
        self.calls.append(call)
        return call

    async def _counted(self) -> None:
        """Count who waits for a page; whoever has left or was answered before this page came does so no more."""
        for _ in range(_PASSES):
            await asyncio.sleep(0)
        left = select.poll()
        waiting = [writer for writer, call in self._inside.items() if not (call.delivered or writer.is_closing())]
        for writer in waiting:
            left.register(writer.get_extra_info("socket"), select.POLLRDHUP)
        self.pages_at_once = max(self.pages_at_once, len(waiting) - len(left.poll(0)))

    async def _answer(self, call: Call, request: bytes, writer: asyncio.StreamWriter) -> None:
        fault = call.fault or Fault(Kind.LATENCY)
        if fault.kind is Kind.REFUSED:
            self._soon(self._refusing(fault.seconds))
            raise ConnectionResetError
        if fault.kind is Kind.HANG:
            await asyncio.sleep(fault.seconds)
            raise ConnectionResetError
        if fault.kind in SAID:
            writer.write(SAID[fault.kind])
            return await writer.drain()
        if fault.kind is Kind.LATENCY:
            await asyncio.sleep(fault.seconds)
        if fault.kind is Kind.ASKED_TWICE:
            await self._asked(call, request)
        head, body = await self._asked(call, request)
        sent = 0
        for piece, after in broken(fault, head, body):
            if piece is None:
                raise ConnectionResetError
            sent += len(piece)
            call.delivered = call.status == 200 and fault.kind in HARMLESS and sent >= len(head + body)
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(after)
        return None

    async def _asked(self, call: Call, request: bytes) -> tuple[bytes, bytes]:
        """The server's answer, head and body."""
        reader, writer = await asyncio.open_connection(*self._upstream, limit=2**26)
        self._transports.add(writer.transport)
        try:
            writer.write(request)
            await writer.drain()
            call.reached += 1
            head = await reader.readuntil(b"\r\n\r\n")
            call.status = int(head.split(b" ", 2)[1])
            if (length := _header(head, b"content-length")) is not None:
                return head, await reader.readexactly(int(length))
            body = b""
            while not body.endswith(b"\r\n0\r\n\r\n") and body != b"0\r\n\r\n":
                body += await reader.readuntil(b"\r\n")
            return head, body
        finally:
            writer.close()

    async def _refusing(self, seconds: float) -> None:
        self._deaf += 1
        if self._server is not None:
            self._server.close()
            self._server = None
        await asyncio.sleep(seconds)
        self._deaf -= 1
        if not self._deaf:
            await self._listen()

    def _soon(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)


def _header(head: bytes, name: bytes) -> str | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip().decode()
    return None


def _bound(port: int) -> socket.socket:
    # asyncio sends small answers without delay (40 ms) only on sockets that name their protocol.
    bound = socket.socket(proto=socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    with suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


@contextmanager
def fault_proxy(upstream: str, plan: Plan = nothing) -> Iterator[FaultProxy]:
    """One that ends with the context."""
    proxy = FaultProxy(upstream, plan)
    try:
        yield proxy
    finally:
        proxy.close()

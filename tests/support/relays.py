"""What lies between a client and its server: proxies of both kinds that note whom they were asked for, and TLS."""

from __future__ import annotations

import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.waiting import PATIENCE


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that refuses our certificate hangs up: that is what some tests are about."""


@contextmanager
def _running(handler: type[socketserver.StreamRequestHandler]) -> Iterator[int]:
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def proxy(target: str, answer: bytes = b"") -> Iterator[tuple[int, list[str]]]:
    """A proxy for HTTP, CONNECT and SOCKS5 that leads to one server, whoever was asked for.

    Yields:
        Its port, and `host:port` of each request, as they come; `user:password@` before it if some were sent.
    """
    asked: list[str] = []
    place = urlsplit(target)

    class Handler(socketserver.StreamRequestHandler):
        timeout = PATIENCE

        def handle(self) -> None:
            first = self.rfile.read(1)
            if first == b"\x05":
                self._socks()
            elif first:
                self._http(first)

        def _socks(self) -> None:
            self.rfile.read(self.rfile.read(1)[0])
            self.wfile.write(b"\x05\x00")
            kind = self.rfile.read(4)[3]
            host = (
                self.rfile.read(self.rfile.read(1)[0]).decode() if kind == 3 else socket.inet_ntoa(self.rfile.read(4))
            )
            asked.append(f"{host}:{struct.unpack('!H', self.rfile.read(2))[0]}")
            self.wfile.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
            self._relay(b"")

        def _http(self, first: bytes) -> None:
            method, url, version = (first + self.rfile.readline()).decode().split()
            head = b""
            while (line := self.rfile.readline()) not in {b"\r\n", b""}:
                head += line
            where = urlsplit(url if "://" in url else f"//{url}")
            asked.append(f"{where.hostname}:{where.port}")
            if answer:
                self.wfile.write(answer)
            elif method == "CONNECT":
                self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                self._relay(b"")
            else:
                self._relay(f"{method} {where.path} {version}\r\n".encode() + head + b"\r\n")

        def _relay(self, begun: bytes) -> None:
            with socket.create_connection((place.hostname or "", place.port or 0), PATIENCE) as server:
                server.sendall(begun)
                back = threading.Thread(target=_copy, args=(server, self.connection))
                back.start()
                _copy(self.connection, server)
                back.join()

    with _running(Handler) as port:
        yield port, asked


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def tls_server(directory: Path, host: str = "127.0.0.1") -> Iterator[tuple[str, Path]]:
    """A server over TLS that tells a version and has no model; its certificate vouches for itself.

    Yields:
        Its address, and the file of its certificate.
    """
    key, certificate = _certificate(directory, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with context.wrap_socket(self.request, server_side=True) as connection:
                connection.recv(65536)
                body = b'{"version": "0.33.0", "models": []}'
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)

    with _running(Handler) as port:
        yield f"https://127.0.0.1:{port}", certificate


def _certificate(directory: Path, host: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths = directory / "server.key", directory / "server.pem"
    paths[0].write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    paths[1].write_bytes(certificate.public_bytes(encoding))
    return paths

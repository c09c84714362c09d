"""The machine's nginx configuration, run by a real nginx before a small server in Ollama's place."""

import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra_scripts.ec2.access import certificate
from tests.support.infra.machine_stubs import MACHINE, Asked, Stub, free_port, stub
from tests.support.tools import NGINX, needs
from tests.support.waiting import PATIENCE, until

TOKEN = "3f" * 32

pytestmark = needs(NGINX)


@dataclass
class Proxy:
    port: int
    upstream: Stub
    certificate: str

    def ask(self, authorization: str | None, body: bytes | None = None) -> tuple[int, bytes]:
        """Ask as Hearth's callers do: the certificate is trusted, and is checked against its name."""
        context = ssl.create_default_context(cadata=self.certificate)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        # The name is checked below by the handshake with server_hostname; urllib cannot give another than the URL's.
        handler = _Named(context=context)
        headers = {"Content-Type": "application/json"}
        if authorization is not None:
            headers["Authorization"] = authorization
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}/api/chat", data=body, headers=headers)
        try:
            with urllib.request.build_opener(handler).open(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


class _Context:
    """A context that names the host `hearth`, whatever the address."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def __getattr__(self, name: str) -> object:
        return getattr(self._context, name)

    def wrap_socket(self, sock: object, **_: object) -> ssl.SSLSocket:
        return self._context.wrap_socket(sock, server_hostname="hearth")  # type: ignore[arg-type]


class _Named(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._context = _Context(context)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    directory = tmp_path_factory.mktemp("proxy")
    key, public = certificate()
    (directory / "key.pem").write_text(key)
    (directory / "certificate.pem").write_text(public)
    # As boot.sh writes it.
    (directory / "token.map").write_text(f'"~^Bearer {TOKEN}$" 1;\n')
    with stub(lambda asked: (200, b"read " + str(len(asked.body)).encode())) as upstream:
        port = free_port()
        text = (MACHINE / "nginx.conf").read_text()
        for ours, here in {
            "/run/hearth-proxy": str(directory),
            "/var/log/nginx/error.log": str(directory / "error.log"),
            "listen 11435": f"listen 127.0.0.1:{port}",
            "http://127.0.0.1:11434": upstream.url,
        }.items():
            assert ours in text
            text = text.replace(ours, here)
        (directory / "nginx.conf").write_text(text)
        process = subprocess.Popen([NGINX.command, "-c", str(directory / "nginx.conf")], stderr=subprocess.DEVNULL)
        found = Proxy(port, upstream, public)
        try:
            _wait(found, process, directory)
            yield found
        finally:
            process.terminate()
            process.wait()


def _wait(proxy: Proxy, process: "subprocess.Popen[bytes]", directory: Path) -> None:
    def answers() -> bool:
        try:
            proxy.ask(None)
        except OSError:
            assert process.poll() is None, (directory / "error.log").read_text()
            return False
        return True

    until(answers)


class TestToken:
    @pytest.mark.parametrize(
        "authorization",
        [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer x{TOKEN}", f"Bearer {TOKEN[:-1]}", TOKEN,
         f"Basic {TOKEN}", f"Bearer {TOKEN.upper()}", f"bearer {TOKEN}", f"Bearer  {TOKEN}", "Bearer .*"],
    )  # fmt: skip
    def test_without_the_exact_token_requests_are_refused_and_not_forwarded(
        self, proxy: Proxy, authorization: str | None
    ):
        asked = len(proxy.upstream.asked)
        assert proxy.ask(authorization)[0] == 401
        assert len(proxy.upstream.asked) == asked

    def test_with_the_token_requests_are_forwarded_without_it(self, proxy: Proxy):
        assert proxy.ask(f"Bearer {TOKEN}", b"{}") == (200, b"read 2")
        seen = proxy.upstream.asked[-1]
        assert "Authorization" not in seen.headers
        assert seen.headers["Host"] == "localhost:11434"
        assert seen.path == "/api/chat"

    def test_pages_of_many_megabytes_are_accepted(self, proxy: Proxy):
        assert proxy.ask(f"Bearer {TOKEN}", b"x" * 30_000_000) == (200, b"read 30000000")


class TestTls:
    def test_plain_http_is_refused(self, proxy: Proxy):
        request = urllib.request.Request(
            f"http://127.0.0.1:{proxy.port}/", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with pytest.raises(urllib.error.HTTPError, match="400") as caught:
            urllib.request.urlopen(request, timeout=PATIENCE)
        caught.value.close()

    def test_another_certificate_is_not_trusted(self, proxy: Proxy):
        other = Proxy(proxy.port, proxy.upstream, certificate()[1])
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            other.ask(f"Bearer {TOKEN}")


def test_a_slow_answer_of_ollama_is_waited_for(proxy: Proxy):
    """It takes two seconds here; the configured limit is an hour, and nginx's default a minute."""

    def slow(_: Asked) -> tuple[int, bytes]:
        time.sleep(2)
        return 200, b"late"

    assert "proxy_read_timeout 3600s;" in (MACHINE / "nginx.conf").read_text()

    before, proxy.upstream.answer = proxy.upstream.answer, slow
    try:
        assert proxy.ask(f"Bearer {TOKEN}", b"{}") == (200, b"late")
    finally:
        proxy.upstream.answer = before

"""The API's page of routes in a real browser that reaches only this machine, and the API without Prefect."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.integration.prefect.web_backend import TOKEN, Backend, free_port
from tests.support.browser import Browser, browser
from tests.support.environment import clean
from tests.support.pdfs import written
from tests.support.tools import CHROMEDRIVER, CHROMIUM, needs
from tests.support.waiting import until

pytestmark = pytest.mark.long("starts a backend whose Prefect server is gone: 4 s a test")


@contextmanager
def _prefect_that_goes() -> Iterator[str]:
    """STAND-IN for a Prefect server that says that it is there, and is gone at the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    """A backend whose Prefect server went away when it had begun."""
    environment = {
        **clean("API_"),
        "HEARTH_HOME": str(tmp_path / "home"),
        "PREFECT_HOME": str(tmp_path / "home" / "prefect"),
        "HEARTH_BACKEND": "embedded",
        "API_DIRECTORY": str(tmp_path / "api"),
        "API_TOKEN": TOKEN,
        "API_PREFECT_SECONDS": "1",
    }
    with _prefect_that_goes() as api:
        backend = Backend(tmp_path, environment | {"PREFECT_API_URL": api}, free_port())
        backend.start()
    yield backend
    backend.kill()


def test_without_prefect_the_api_is_live_but_not_ready(backend: Backend):
    health, live = httpx.get(f"{backend.url}/health"), httpx.get(f"{backend.url}/health/live")
    assert (health.status_code, health.json()) == (503, {"status": "unavailable", "missing": ["prefect"]})
    assert live.status_code == 200


def test_without_prefect_a_document_can_be_accepted_listed_cancelled_and_deleted(backend: Backend, tmp_path: Path):
    """Both before and after the request was sent to Prefect."""
    posted = backend.post(written(tmp_path / "paper.pdf", "One.").read_bytes())
    here = posted.json()["links"]["self"]
    (listed,) = backend.get("/documents?status=waiting").json()["documents"]
    assert (posted.status_code, listed["links"]["self"], listed["run"]) == (202, here, None)
    assert httpx.get(f"{backend.url}/health").json()["missing"] == ["prefect"]
    with backend.client() as client:
        assert client.delete(here).status_code == 409
        cancelled = client.post(f"{here}/cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        assert client.delete(here).status_code == 204
    kept = [path for name in ("documents", "queue", "runs", "results") for path in (tmp_path / "api" / name).iterdir()]
    assert {path.name for path in kept} <= {".lock", ".index.sqlite"}


def _sent_by(shown: Browser, path: Path) -> str:
    """What the page shows of the response to a document that is sent by its form."""
    driver = shown.driver

    def click(css: str) -> None:
        until(lambda: driver.find_elements("css selector", css))
        driver.execute_script("document.querySelector(arguments[0]).click()", css)

    click(".authorize")
    until(lambda: driver.find_elements("css selector", ".modal-ux input"))
    driver.find_element("css selector", ".modal-ux input").send_keys(TOKEN)
    click(".modal-ux button.authorize")
    click(".modal-ux .close-modal")
    click(".opblock-post .opblock-summary-control")
    click(".opblock-post .try-out__btn")
    until(lambda: driver.find_elements("css selector", ".opblock-post input[type=file]"))
    driver.find_element("css selector", ".opblock-post input[type=file]").send_keys(str(path))
    click(".opblock-post .execute")
    answered = ".opblock-post .live-responses-table .response"
    until(lambda: driver.find_elements("css selector", answered))
    return driver.find_element("css selector", answered).text


@pytest.mark.long("drives a browser")
@needs(CHROMIUM, CHROMEDRIVER)
def test_offline_the_page_of_routes_shows_forms_and_sends_a_document(backend: Backend, tmp_path: Path):
    document = written(tmp_path / "paper.pdf", "One.")
    with browser(backend.url, offline=True) as shown:
        shown.open("/docs", "/documents")
        told = _sent_by(shown, document)
        loaded = shown.driver.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
    # It is accepted, and waits for Prefect, which is not there.
    assert "202" in told
    assert '"Queued"' in told
    assert '"paper.pdf"' in told
    assert loaded
    assert [address for address in loaded if not address.startswith(backend.url)] == []

"""Clients and webhooks of the HTTP API: tokens, signatures and URLs."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest

from flows.api.addresses import resolve_webhook
from flows.api.app import create_app
from flows.api.prefect_state import PrefectCalls, Status
from flows.api.runs import Runs
from flows.api.settings import ApiSettings, load_api_settings
from flows.api.signature import SIGNATURE_HEADER, sign, verify
from flows.api.uploads import option_parameters
from tasks.core.errors import InputError
from tasks.settings.settings import Settings
from tests.support.commands import ROOT
from tests.support.waiting import PATIENCE

NOW = 1_800_000_000.0


def test_a_signature_is_valid_only_for_its_body_secret_and_time():
    headers = sign("secret", b"{}", NOW)
    assert verify("secret", headers, b"{}", now=NOW + 60)
    assert verify("secret", {name.lower(): value for name, value in headers.items()}, b"{}", now=NOW)
    assert not verify("secret", headers, b"{ }", now=NOW)
    assert not verify("another", headers, b"{}", now=NOW)
    assert not verify("secret", {**headers, "Hearth-Webhook-Timestamp": str(int(NOW) + 1)}, b"{}", now=NOW)


def test_a_replayed_webhook_is_refused():
    headers = sign("secret", b"{}", NOW)
    assert not verify("secret", headers, b"{}", now=NOW + 301)
    assert verify("secret", headers, b"{}", now=NOW + 301, tolerance=600)


@pytest.mark.parametrize("headers", [{}, {"Hearth-Webhook-Timestamp": "soon"}, {SIGNATURE_HEADER: "v1="}])
def test_a_webhook_without_a_signature_is_refused(headers: dict[str, str]):
    assert not verify("secret", headers, b"{}", now=NOW)


@pytest.mark.parametrize(
    "url",
    [
        *("http://8.8.8.8/", "https://127.0.0.1/", "https://10.1.2.3/", "https://192.168.0.1/", "https://0.0.0.0/"),
        *("https://169.254.169.254/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://[fd00::1]/"),
        *("https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://224.0.0.1/", "https://100.64.0.1/"),
        *("https://user:password@8.8.8.8/", "ftp://8.8.8.8/", "file:///etc/passwd", "8.8.8.8", "https://", "https://["),
    ],
)
async def test_webhooks_are_sent_only_to_public_addresses_over_https(url: str):
    with pytest.raises(InputError):
        await resolve_webhook(url, private=False)


async def test_a_public_address_is_accepted():
    assert await resolve_webhook("https://8.8.8.8/hook?a=b", private=False) == "8.8.8.8"


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:9/", True),
        ("https://10.1.2.3/", True),
        ("http://10.1.2.3/", False),
        ("https://169.254.169.254/", False),
    ],
)
async def test_private_networks_can_be_allowed_but_not_metadata_services(url: str, allowed: bool):
    if allowed:
        await resolve_webhook(url, private=True)
    else:
        with pytest.raises(InputError):
            await resolve_webhook(url, private=True)


@pytest.mark.parametrize(
    ("address", "host", "code"),
    [
        *(("127.0.0.1", "localhost", 404), ("10.0.0.5", "10.0.0.5", 403), ("127.0.0.1", "evil", 403)),
        *(("127.0.0.1", "evil:80", 403), ("127.0.0.1", "[::1]", 404)),
    ],
)
async def test_without_a_token_only_this_machine_is_served(tmp_path: Path, address: str, host: str, code: int):
    app = create_app(Settings(), ApiSettings(directory=tmp_path))
    app.state.service = SimpleNamespace(
        api=ApiSettings(directory=tmp_path), runs=Runs(tmp_path, PrefectCalls(SimpleNamespace(), PATIENCE))
    )

    async def at_address(scope, receive, send) -> None:
        await app({**scope, "server": (address, 8000)}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(at_address), base_url="http://a") as client:
        assert (await client.get(f"/documents/{uuid4()}", headers={"Host": host})).status_code == code


def test_the_error_for_a_short_token_does_not_contain_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("API_TOKEN", "qwertz")
    with pytest.raises(InputError, match="API_TOKEN") as raised:
        load_api_settings()
    assert "qwertz" not in str(raised.value)


GUIDE, REFERENCE = ((ROOT / "docs" / folder / "api.md").read_text() for folder in ("how-to", "reference"))


def test_the_documentation_lists_every_option_setting_and_route():
    paths = create_app(Settings(), ApiSettings()).openapi()["paths"]
    names = [f"API_{name.upper()}" for name in ApiSettings.model_fields]
    names += [parameter["name"] for parameter in option_parameters()] + [status.value for status in Status]
    names += [path.replace("{document}", "{id}").replace("{number}", "{n}") for path in paths]
    assert [each for each in names if f"`{each}`" not in REFERENCE] == []


def test_the_curl_lines_of_the_documentation_lead_to_routes():
    lines = re.findall(r"^curl .*", GUIDE, flags=re.MULTILINE)
    paths = [re.search(r"\$API(/[\w/$]*)", line)[1].replace("$ID", "{document}") for line in lines]
    known = create_app(Settings(), ApiSettings()).openapi()["paths"]
    assert paths
    assert {re.sub(r"pages/\d+", "pages/{number}", path) for path in paths} <= set(known)

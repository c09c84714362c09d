"""Requests that are refused before a route handles them."""

from __future__ import annotations

import httpx
import pytest
from starlette.responses import PlainTextResponse

from flows.api.access import Gate

OURS = "http://127.0.0.1:8080"


async def _answer(*, has_token: bool, path: str = "/", version: str = "1.1", **headers: str) -> httpx.Response:
    gate = Gate(PlainTextResponse("served"), has_token=has_token)

    async def spoken(scope, receive, send) -> None:
        await gate({**scope, "http_version": version}, receive, send)

    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(spoken), base_url=OURS) as client:
        return await client.get(path, headers=sent)


PROXIES = [
    *(
        {"X_Forwarded_For": "8.8.8.8"},
        {"x_forwarded_proto": "https"},
        {"X_Forwarded_Host": "a"},
        {"Forwarded": "for=a"},
    ),
    *({"Via": "1.1 nginx"}, {"X_Real_IP": "8.8.8.8"}, {"CF_Connecting_IP": "8.8.8.8"}, {"True_Client_IP": "8.8.8.8"}),
    *({"X_Client_IP": "8.8.8.8"}, {"X_Original_Forwarded_For": "8.8.8.8"}, {"X_Envoy_External_Address": "8.8.8.8"}),
]


@pytest.mark.parametrize("headers", PROXIES, ids=lambda headers: next(iter(headers)))
async def test_without_a_token_requests_through_a_proxy_are_refused(headers: dict[str, str]):
    response = await _answer(has_token=False, **headers)
    assert (response.status_code, "through a proxy" in response.json()["detail"]) == (403, True)


async def test_without_a_token_a_proxy_without_headers_is_recognized_by_http_1_0():
    assert (await _answer(has_token=False, version="1.0")).status_code == 403


@pytest.mark.parametrize("headers", PROXIES, ids=lambda headers: next(iter(headers)))
async def test_with_a_token_proxies_are_allowed(headers: dict[str, str]):
    assert (await _answer(has_token=True, version="1.0", **headers)).text == "served"


@pytest.mark.parametrize(
    ("origin", "code"),
    [(OURS, 200), ("https://evil.example", 403), ("http://127.0.0.1:9999", 403), ("null", 403), ("http://[", 403)],
)
async def test_without_a_token_a_page_of_another_origin_is_refused(origin: str, code: int):
    assert (await _answer(has_token=False, Origin=origin)).status_code == code


async def test_a_plain_request_on_this_machine_needs_no_token():
    assert (await _answer(has_token=False)).text == "served"


async def test_a_url_that_is_too_long_is_refused():
    response = await _answer(has_token=True, path=f"/documents?pages={'1,' * 20_000}")
    assert (response.status_code, response.json()["detail"]) == (
        414,
        "The URL has more than 32768 bytes. Shorten its parameters.",
    )


async def test_headers_that_are_too_long_are_refused():
    assert (await _answer(has_token=True, Last_Event_ID="1," * 40_000)).status_code == 431

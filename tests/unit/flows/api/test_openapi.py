"""The OpenAPI description: every response code of a route, the format of its body, and how to log in."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from flows.api import (
    accepted,
    access,
    ceilings,
    followed,
    limits,
    multipart,
    posting,
    prefect_state,
    retention,
    routes,
    run_index,
    runs,
    service,
    uploads,
)
from flows.api import app as application_module
from flows.api.app import create_app
from flows.api.followed import Followed
from flows.api.settings import ApiSettings
from tasks.core.document_kinds import MEDIA_TYPES
from tasks.settings.settings import Settings
from tests.unit.flows.api.application import Application

MODULES = (
    *(accepted, access, application_module, ceilings, followed, limits, multipart, posting, prefect_state, retention),
    *(routes, run_index, runs, service, uploads),
)
RAISED = {"LimitError": 413, "InputError": 422, "ServerError": 503, "StorageError": 503}
OF_EVERY_ROUTE = {401, 403, 408, 414, 422, 431, 503}
"""408, 414 and 431 come before a route is known; see test_connections and test_gate."""

APP = create_app(Settings(), ApiSettings())
DESCRIBED = {(method, path): what for path, of in APP.openapi()["paths"].items() for method, what in of.items()}


def _functions() -> dict[str, list[ast.AST]]:
    found: dict[str, list[ast.AST]] = {}
    for module in MODULES:
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.setdefault(node.name, []).append(node)
            elif isinstance(node, ast.ClassDef) and node.name == limits.LimitedStream.__name__:
                found.setdefault(node.name, []).append(node)  # a response, which its server calls
    return found


FUNCTIONS = _functions()


def _raised(name: str, seen: set[str]) -> Iterator[int]:
    """The codes that a function and what it calls can answer, by what the source says."""
    if name in seen:
        return
    seen.add(name)
    for function in FUNCTIONS.get(name, ()):
        given = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if called == "HTTPException":
                    yield node.args[0].value
                elif called in RAISED:
                    yield RAISED[called]
                yield from _raised(called, seen)
            elif isinstance(node, ast.Name) and node.id not in given:
                yield from _raised(node.id, seen)  # handed on, and called elsewhere


@pytest.mark.parametrize("route", sorted(route for route in DESCRIBED if "health" not in route[1]), ids=" ".join)
def test_the_described_codes_of_a_route_are_those_that_its_source_can_raise(route: tuple[str, str]):
    method, path = route
    (endpoint,) = (
        node.name
        for module in (application_module, routes)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.AsyncFunctionDef)
        and any(_decorates(each, method, path) for each in node.decorator_list)
    )
    raised = OF_EVERY_ROUTE | set(_raised(endpoint, set()))
    if "{document}" in path:
        raised |= set(_raised("run_of", set()))
    assert {int(code) for code in DESCRIBED[route]["responses"] if int(code) >= 400} == raised


def test_each_code_is_described_with_its_body():
    for described in DESCRIBED.values():
        for code, told in described["responses"].items():
            assert told["description"]
            assert ("content" in told) is (code != "204"), code


def _decorates(node: ast.expr, method: str, path: str) -> bool:
    return (
        isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") == method
        and path in {node.args[0].value, f"/documents{node.args[0].value}"}
    )


def test_all_errors_have_the_same_format():
    for route, described in DESCRIBED.items():
        for code, told in described["responses"].items():
            if int(code) >= 400 and "health" not in route[1]:
                assert told["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Problem"}, code


def test_every_route_of_documents_requires_the_bearer_token_and_health_does_not():
    schemes = APP.openapi()["components"]["securitySchemes"]
    assert (schemes["token"]["type"], schemes["token"]["scheme"]) == ("http", "bearer")
    for (_, path), described in DESCRIBED.items():
        assert described.get("security", []) == ([{"token": []}] if path.startswith("/documents") else [])


def test_a_document_may_be_sent_as_a_form_or_as_the_body():
    content = DESCRIBED["post", "/documents"]["requestBody"]["content"]
    assert list(content) == ["multipart/form-data", *MEDIA_TYPES]


async def test_responses_have_the_described_fields(api: Application):
    record = api.run(None)
    schemas = APP.openapi()["components"]["schemas"]
    run = (await api.client.get(f"/documents/{record.id}")).json()
    listed = (await api.client.get("/documents")).json()
    assert set(run) == set(schemas["RunView"]["properties"])
    assert set(run["links"]) == set(schemas["LinksView"]["properties"])
    assert set(listed) == set(schemas["ListView"]["properties"])
    assert set(listed["documents"][0]) == set(schemas["ListedView"]["properties"])


async def test_nothing_of_a_run_is_left_out_of_its_response(api: Application):
    record = api.run(None)
    view = await Followed(record, api.service.prefect).view(None)
    run = (await api.client.get(f"/documents/{record.id}")).json()
    assert set(run) == set(view)
    assert {name: set(run[name]) for name in ("pages", "links")} == {
        name: set(view[name]) for name in ("pages", "links")
    }


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
async def test_the_description_loads_nothing_from_elsewhere_and_needs_no_token(api: Application, path: str):
    response = await api.client.get(path)
    assert response.status_code == 200
    assert "https://" not in response.text.replace("https://example.com/hook", "")


async def test_the_page_of_routes_loads_only_files_of_this_server(api: Application):
    page = (await api.client.get("/docs")).text
    sources = [part.split('"')[0] for start in ('src="', 'href="') for part in page.split(start)[1:]]
    assert len(sources) >= 2
    answers: list[httpx.Response] = [await api.client.get(source) for source in sources]
    assert {response.status_code for response in answers} == {200}


async def test_there_is_no_second_page_of_routes(api: Application):
    response: Any = await api.client.get("/redoc")
    assert response.status_code == 404

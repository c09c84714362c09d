"""Paths, methods, origins and hosts that reach the server."""

import pytest


def test_root_says_what_ollama_says(shared):
    assert shared.http.get("/").text == "Ollama is running"
    assert shared.http.head("/").status_code == 200


def test_the_version_is_that_of_the_api_and_says_that_it_is_embedded(shared):
    assert shared.http.get("/api/version").json() == {"version": "0.33.0+embedded"}


def test_an_unknown_path_is_not_found(shared):
    response = shared.http.get("/api/nothing")
    assert (response.status_code, response.text) == (404, "404 page not found")


def test_a_wrong_method_is_not_allowed(shared):
    response = shared.http.get("/api/generate")
    assert (response.status_code, response.text) == (405, "405 method not allowed")


@pytest.mark.parametrize(
    ("method", "path", "status", "headers"),
    [
        ("GET", "/api/tags/?x=1", 301, {"location": "/api/tags?x=1"}),
        ("POST", "/api/show/", 307, {"location": "/api/show"}),
        ("GET", "/api/show/", 404, {"content-type": "text/plain"}),
        ("GET", "//evil.example/", 404, {"content-type": "text/plain"}),
        ("PUT", "/api/version", 405, {"allow": "HEAD, GET"}),
        ("HEAD", "/v1/models", 405, {"allow": "GET"}),
        ("OPTIONS", "/api/delete", 405, {"allow": "DELETE"}),
    ],
)
def test_paths_and_methods_are_routed_as_ollamas_router_does(shared, method, path, status, headers):
    response = shared.http.request(method, f"{shared.url}{path}", follow_redirects=False)
    assert response.status_code == status
    assert headers.items() <= dict(response.headers).items()


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", 200),
        ("https://127.0.0.1", 200),
        ("http://0.0.0.0:80", 200),
        ("app://obsidian.md", 200),
        ("vscode-webview://x", 200),
        ("http://localhost.evil.example", 403),
        ("http://localhost:3000.evil.example", 403),
        ("http://evil.example:11434", 403),
        ("http://192.168.1.2", 403),
        ("https://app://", 403),
        ("null", 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_a_page_of_a_foreign_origin_is_turned_away_from_every_route(shared, origin, status, method):
    for path in ("/api/tags", "/v1/models", "/api/nothing"):
        response = shared.http.request(method, path, headers={"Origin": origin})
        expected = status if status == 403 else {"OPTIONS": 204, "GET": 404 if "nothing" in path else 200}[method]
        assert response.status_code == expected
        assert response.headers.get("access-control-allow-origin") == (origin if status == 200 else None)


def test_a_page_that_this_server_is_the_origin_of_needs_no_permission(shared):
    response = shared.http.get("/api/tags", headers={"Origin": shared.url})
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(("host", "status"), [("evil.example", 403), ("localhost:1", 200), ("printer.local", 200)])
def test_a_foreign_host_header_is_turned_away(shared, host, status):
    assert shared.http.get("/api/version", headers={"Host": host}).status_code == status

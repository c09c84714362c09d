"""Paths and methods as Ollama's router treats them, where Starlette's differs."""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

METHODS = ("HEAD", "GET", "POST", "DELETE")
"""In the order in which an Allow header lists them."""


def route(path: str, endpoint: Any, *methods: str) -> Route:  # noqa: ANN401  as Starlette declares it
    """Return a route with exactly these methods: Starlette adds HEAD to every GET, Ollama does not."""
    made = Route(path, endpoint, methods=list(methods))
    made.methods = set(methods)
    return made


def allowed_methods(routes: Iterable[BaseRoute], scope: Mapping[str, Any]) -> list[str]:
    """Return the methods of a request's path; none for an unknown path."""
    matching = (each for each in routes if isinstance(each, Route) and each.matches({**scope})[0] is not Match.NONE)
    methods = {method for each in matching for method in each.methods or ()}
    return [method for method in METHODS if method in methods]


async def unrouted(request: Request, error: Exception) -> Response:
    """Answer a request without a route: a redirection without the trailing slash, 405 or 404."""
    if not isinstance(error, HTTPException) or error.status_code not in {404, 405}:
        return _plain("internal error", 500)
    routes, path = request.app.routes, request.url.path
    if allowed := allowed_methods(routes, request.scope):
        return _plain("405 method not allowed", 405, {"Allow": ", ".join(allowed)})
    without = path.removesuffix("/")
    if without != path and request.method in allowed_methods(routes, {**request.scope, "path": without}):
        return _redirection(request, without)
    return _plain("404 page not found", 404)


def allow_header(app: object, scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the Allow header of a path, if it has any methods."""
    allowed = allowed_methods(getattr(app, "routes", ()), scope)
    return {"Allow": ", ".join(allowed)} if allowed else {}


def _redirection(request: Request, path: str) -> Response:
    location = f"{path}?{request.url.query}" if request.url.query else path
    if request.method != "GET":
        return Response(status_code=307, headers={"Location": location})
    body = f'<a href="{location}">Moved Permanently</a>.\n\n'.replace("&", "&amp;")
    return Response(body, 301, {"Location": location}, media_type="text/html")


def _plain(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(text, status, {"Content-Type": "text/plain", **(headers or {})})

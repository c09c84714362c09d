"""The parts of the OpenAPI description besides the routes: responses, errors, and the bearer token."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

from flows.api.multipart import FILE, KIND
from flows.api.prefect_state import Status
from tasks.core.document_kinds import MEDIA_TYPES
from tasks.results.manifest import Manifest
from tasks.results.page import PageResult

BEARER = HTTPBearer(
    auto_error=False, scheme_name="token", description="`API_TOKEN`. Without it the API serves this machine alone."
)

_BINARY = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "required": [FILE],
    "properties": {FILE: _BINARY | {"description": "The document. Options may be fields of the form, too."}},
    "additionalProperties": {"type": "string"},
}
DOCUMENT_BODY = {
    "required": True,
    "content": {KIND: {"schema": _FORM}, **{kind: {"schema": _BINARY} for kind in MEDIA_TYPES}},
}


class Problem(BaseModel):
    """The reason why a request was refused."""

    detail: str = Field(description="What is wrong and what to do, in one or two sentences.")


class PrefectView(BaseModel):
    """The run's state in Prefect."""

    type: str
    name: str | None
    message: str | None


class PagesView(BaseModel):
    """Numbers of pages, by what became of them."""

    asked: int
    done: int
    read: int
    blank: int
    failed: list[int] = Field(description="Numbers of the failed pages.")
    doubtful: list[int] = Field(description="Numbers of the doubtful pages, the least confident first.")
    confidence_unknown: int = Field(description="Pages whose server does not tell its confidence.")


class LinksView(BaseModel):
    """Paths of the run's resources."""

    here: str = Field(alias="self")
    events: str
    text: str
    data: str = Field(description="Path of the data of the pages, for documents with a `json_schema`.")
    manifest: str
    pages: str = Field(description="Path of all pages that are stored, a line of JSON each.")
    page: str = Field(description="Path of a page; {number} stands for its number.")


class ListedView(BaseModel):
    """A run in the list."""

    id: UUID
    run: UUID | None = Field(description="Id of Prefect's flow run; null while the request waits in the queue.")
    sha256: str = Field(description="SHA-256 of the document.")
    filename: str | None = Field(description="The client's name for the document.")
    created: datetime
    status: Status
    links: LinksView


class RunView(ListedView):
    """A run and its progress."""

    prefect: PrefectView | None = Field(description="Null once Prefect no longer has the run.")
    pages: PagesView
    machine: dict[str, Any] | None = Field(description="Where it was read; null before its end.")
    cost_usd: float | None


class ListView(BaseModel):
    """A page of the list."""

    documents: list[ListedView]
    next: str | None = Field(description="Path of the next page of the list; null at its end.")


class HealthView(BaseModel):
    """The health of the API."""

    status: str = Field(description="ok or unavailable.")
    missing: list[str] = Field([], description="The parts that do not work: directory, prefect, deployment.")


_PROBLEMS = {
    400: "The `Last-Event-ID` is not from this stream.",
    401: "The bearer token is missing or wrong.",
    403: "There is no token, and the request does not come from this machine.",
    404: "There is no such run, or no such page in it.",
    408: "The head of the request, or the document, did not arrive in time.",
    409: "It cannot be done now; `detail` says when it can.",
    413: "The document is larger than the limits allow, or there is no room for it.",
    414: "The URL is too long.",
    415: "The body is neither a PDF, nor a picture, nor a form.",
    422: "A parameter or the document is wrong or not allowed.",
    429: "Too many parallel uploads or streams. Try again after `Retry-After` seconds.",
    431: "The headers are too long.",
    499: "The client left before the response.",
    503: "Prefect or the storage does not respond, or all connections are busy. Try again after `Retry-After` seconds.",
}

Responses = dict[int | str, dict[str, Any]]


def refusals(*codes: int) -> Responses:
    """Return a route's error responses in FastAPI's format."""
    return {code: {"model": Problem, "description": _PROBLEMS[code]} for code in sorted(codes)}


OF_EVERY_ADDRESS = refusals(403, 408, 414, 431)
OF_EVERY_ROUTE = OF_EVERY_ADDRESS | refusals(401, 422, 503)
EVENTS = {"description": "The events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
MARKDOWN = {"description": "The text.", "content": {"text/markdown": {"schema": {"type": "string"}}}}
PAGES = {
    "description": "The pages that are stored, a line of JSON each.",
    "content": {"application/jsonl": {"schema": {"type": "string"}}},
}
DATA = {
    "description": "The data, a line a page.",
    "content": {"application/jsonl": {"schema": {"type": "string"}}},
}
MANIFEST = {"description": "The manifest of the run: pages, times, machines and costs.", "model": Manifest}
PAGE = {"description": "The page.", "model": PageResult}
POSTED: Responses = {
    202: {"model": RunView, "description": "It is being read."},
    200: {"model": RunView, "description": "It has been read, or could not be."},
    **refusals(413, 415, 429, 499),
}

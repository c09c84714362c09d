"""What the OpenAPI description says beside the routes: what responses hold, why some refuse, and how to log in."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

from flows.api.multipart import FILE, KIND
from flows.api.prefect_state import Status
from tasks.results.manifest import Manifest
from tasks.results.page import PageResult

BEARER = HTTPBearer(
    auto_error=False, scheme_name="token", description="`API_TOKEN`. Without one the API serves this machine alone."
)

PDF = "application/pdf"
_BINARY = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "required": [FILE],
    "properties": {FILE: _BINARY | {"description": "The PDF. The options may be fields of the form, too."}},
    "additionalProperties": {"type": "string"},
}
DOCUMENT_BODY = {"required": True, "content": {KIND: {"schema": _FORM}, PDF: {"schema": _BINARY}}}


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str = Field(description="What is wrong and what to do, in a sentence or two.")


class PrefectView(BaseModel):
    """A state in Prefect's words."""

    type: str
    name: str | None
    message: str | None


class PagesView(BaseModel):
    """How many pages there are, and what became of them."""

    asked: int
    done: int
    read: int
    blank: int
    failed: list[int] = Field(description="Their numbers.")


class LinksView(BaseModel):
    """Where the rest is."""

    here: str = Field(alias="self")
    events: str
    text: str
    manifest: str
    page: str = Field(description="With {number} for the page's.")


class ListedView(BaseModel):
    """A run as the list tells it."""

    id: UUID
    run: UUID | None = Field(description="Prefect's flow run; none as long as the request waits in the queue.")
    sha256: str = Field(description="The document's.")
    filename: str | None = Field(description="What its client calls the document.")
    created: datetime
    status: Status
    links: LinksView


class RunView(ListedView):
    """A run, and how far it is."""

    prefect: PrefectView | None = Field(description="None once Prefect has forgotten the run.")
    pages: PagesView
    machine: dict[str, Any] | None = Field(description="Where it was read; none before its end.")
    cost_usd: float | None


class ListView(BaseModel):
    """A part of the list."""

    documents: list[ListedView]
    next: str | None = Field(description="Where the list goes on; none at its end.")


class HealthView(BaseModel):
    """Whether requests can be served."""

    status: str = Field(description="ok, or unavailable.")
    missing: list[str] = Field([], description="The parts that do not work: directory, prefect, deployment.")


_PROBLEMS = {
    400: "The `Last-Event-ID` is not one of this stream's.",
    401: "The bearer token is missing or wrong.",
    403: "There is no token, and the request is not from and for this machine.",
    404: "There is no such run, or no such page in it.",
    408: "The head of the request, or the document, did not come in time.",
    409: "It cannot be done now; `detail` tells when.",
    413: "The document is larger than the limits allow, or there is no room for it.",
    414: "The address is too long.",
    415: "The body is neither a PDF nor a form.",
    422: "A parameter or the document is wrong, or asks for what is not allowed.",
    429: "Too many uploads, or streams, at once. Ask again after `Retry-After` seconds.",
    431: "The headers are too long.",
    499: "The client left before the response, which nobody reads.",
    503: "Prefect or the storage does not answer, or all connections are busy. Ask again after `Retry-After` seconds.",
}

Responses = dict[int | str, dict[str, Any]]


def refusals(*codes: int) -> Responses:
    """The responses of a route that refuses requests so, as FastAPI wants them."""
    return {code: {"model": Problem, "description": _PROBLEMS[code]} for code in sorted(codes)}


OF_EVERY_ADDRESS = refusals(403, 408, 414, 431)
OF_EVERY_ROUTE = OF_EVERY_ADDRESS | refusals(401, 422, 503)
EVENTS = {"description": "The events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
MARKDOWN = {"description": "The text.", "content": {"text/markdown": {"schema": {"type": "string"}}}}
MANIFEST = {"description": "The account of the run.", "model": Manifest}
PAGE = {"description": "The page.", "model": PageResult}
POSTED: Responses = {
    202: {"model": RunView, "description": "It is being read."},
    200: {"model": RunView, "description": "It has been read, or could not be."},
    **refusals(413, 415, 429, 499),
}

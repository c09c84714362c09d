"""A run's request and its plan: Job and Plan, frozen."""

import hashlib
import json
import operator
import re
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from pydantic import Field

from tasks.core.corrections import Correction, Straightening, Turning
from tasks.core.document_kinds import PICTURE_NAMES
from tasks.core.escaping import escape_line
from tasks.core.forms import Form, Frozen
from tasks.core.options import BackendName, Fallback, Headers, Options, Pictures, TextLayer
from tasks.core.paths import StoragePath

__all__ = ["BackendName", "Document", "Fallback", "Form", "Frozen", "Job", "Plan", "ReadOptions", "TextLayer"]

_LONGEST = 100
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _document_title(stem: str) -> str:
    """Return a document's name for people: on one line, and short if the file is named by its sha256."""
    return f"document {stem[:8]}" if _SHA256.fullmatch(stem) else escape_line(stem)


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


class Job(Options):
    """What to read, and how. What is left empty takes the worker's setting (HEARTH_*)."""

    usual = ("document", "pages", "model", "backend", "output")

    document: str = Field(
        title="Document",
        description=f"Path of the PDF or picture ({PICTURE_NAMES}) on the machine that runs the flow, or s3://bucket/key.",
        examples=["/data/paper.pdf", "s3://papers/inbox/paper.pdf"],
    )

    @property
    def run_name(self) -> str:
        """The name of the flow run."""
        pages = f"pages {_shorten(escape_line(self.pages))}" if self.pages else "all pages"
        return f"{_shorten(_document_title(PurePath(self.document).stem))}, {pages}"


class ReadOptions(Frozen):
    """The options that, beside page and model, decide which stored pages are found again.

    They are what a person or the settings ask for, with the first version's default for the rest: a model's profile, or
    a better general prompt, does not have pages read anew that stand already. What is sent is `tasks.models.call`'s.
    """

    prompt: str
    longest_side: int
    num_ctx: int
    num_predict: int
    # Left out at their defaults: they were not there when the first pages were stored.
    headers: Headers = Field(Headers.KEEP, exclude_if=lambda value: value is Headers.KEEP)
    pictures: Pictures = Field(Pictures.OMIT, exclude_if=lambda value: value is Pictures.OMIT)
    turn: Turning = Field(Turning.AUTO, exclude_if=lambda value: value is Turning.AUTO)
    straighten: Straightening = Field(Straightening.AUTO, exclude_if=lambda value: value is Straightening.AUTO)
    profile: str | None = Field(None, exclude_if=lambda value: value is None)
    overrides: dict[str, Any] = Field({}, exclude_if=operator.not_)
    schema_sha256: str = Field("", exclude_if=operator.not_)
    """Digest of the JSON Schema that answers follow; see `tasks.core.json_schema.schema_digest`."""


class Document(Frozen):
    """A document that was opened and can be read.

    Attributes:
        sha256: of the file's bytes, 64 hex digits.
        size: in bytes.
    """

    path: StoragePath
    sha256: str
    pages: int
    size: int

    @property
    def name(self) -> str:
        """The document's name for people: its file's without the suffix."""
        return _document_title(self.path.stem)


class Plan(Frozen):
    """What a run will do: a Job with every blank filled in.

    Attributes:
        numbers: the pages to be read, counted from 1, ascending.
        slots: requested pages in flight; the measured number may be lower.
        attempts: maximum for each page.
        force: read pages anew, except those stored since `began`.
        began: first start of the run, so that it continues after an interruption.
        max_usd: cost of the machines at which no page is started any more.
        minutes: time after the start at which no page is started any more.
        strict: a flagged page counts as failed.
        fallback: what is stored of a page that failed.
        text_layer: which pages are taken from the PDF's own text.
    """

    document: Document
    numbers: tuple[int, ...]
    backend: BackendName
    model: str
    options: ReadOptions
    output: StoragePath
    slots: int
    attempts: int
    force: bool
    require_gpu: bool
    began: datetime | None = None
    max_usd: float | None = None
    minutes: float | None = None
    strict: bool = False
    fallback: Fallback = Fallback.NONE
    text_layer: TextLayer = TextLayer.NEVER

    @property
    def since(self) -> datetime | None:
        """The time from which stored pages count; None if all do."""
        return (self.began or datetime.max.replace(tzinfo=UTC)) if self.force else None

    def identity(self, number: int, digest: str) -> str:
        """Return a page's identity; see `page_identity`."""
        return page_identity(self.document.sha256, number, digest, self.options)

    def is_met(self, number: int, identity: str, digest: str, correction: Correction | None) -> bool:
        """Return whether a stored page meets the plan: see `meets_request`."""
        return meets_request(identity, self.document.sha256, number, digest, self.options, correction)


def page_identity(sha256: str, number: int, digest: str, options: ReadOptions) -> str:
    """Return a page's identity, 64 hex digits: a page whose identity is stored is not read again.

    It is made of the page (the document's sha256 and the page number, counted from 1), the model's digest (as in
    Ollama's /api/tags), the prompt and the options. The temperature is left out: it belongs to an attempt.
    """
    facts = [sha256, number, digest, options.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


LAYER_VERSION = 1
"""The version of what extracts and judges text layers."""


def layer_identity(sha256: str, number: int, version: int = LAYER_VERSION) -> str:
    """Return the identity of a page that was taken from its text layer: of no model, prompt or option."""
    return hashlib.sha256(json.dumps([sha256, number, "text-layer", version]).encode()).hexdigest()


def meets_request(
    identity: str, sha256: str, number: int, digest: str, options: ReadOptions, correction: Correction | None
) -> bool:
    """Return whether a page of this identity meets a request.

    It does if the model read it, or if it was taken from its text layer, by this version or an earlier one: what a
    person once asked for stays until it is read anew (`--force`). A page that needed no turn or straightening meets a
    request without them, too.
    """
    if identity == page_identity(sha256, number, digest, options):
        return True
    usual = options.model_copy(update={"turn": Turning.AUTO, "straighten": Straightening.AUTO})
    was = correction or Correction()
    is_turned = options.turn is Turning.NEVER and was.turned
    is_straightened = options.straighten is Straightening.NEVER and was.straightened
    if usual != options and identity == page_identity(sha256, number, digest, usual):
        return not (is_turned or is_straightened)
    return any(identity == layer_identity(sha256, number, version) for version in range(1, LAYER_VERSION + 1))

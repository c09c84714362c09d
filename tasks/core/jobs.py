"""What is asked for and what is decided: Job and Plan, frozen."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, field_validator
from pydantic_core import CoreSchema

from tasks.core.paths import Place, as_text
from tasks.core.visible import encodable, visible_line


class Frozen(BaseModel):
    """Immutable, and strict about names, so that a misspelt option is an error and not a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class BackendName(StrEnum):
    """Where Ollama runs."""

    AUTO = "auto"
    EC2 = "ec2"
    ECS = "ecs"
    EMBEDDED = "embedded"
    OLLAMA = "ollama"
    SAGEMAKER = "sagemaker"
    URL = "url"


class Fallback(StrEnum):
    """What is stored of a page whose attempts have all failed."""

    NONE = "none"
    PARTIAL = "partial"
    """What its last attempts gave, flagged; the page counts as failed, and is read again by the next run."""


ON_AWS = (BackendName.EC2, BackendName.ECS, BackendName.SAGEMAKER)
"""Those whose machines are a pool's, and cost money."""


class Form(Frozen):
    """The parameters of a flow, which are its form in Prefect's UI.

    There, a field that may be None is simply one that may be left empty; pydantic's own schema of it would have a
    person choose between `str` and `None` first. Over the API Prefect takes null for it all the same, but for a
    backend, which is to be left out.
    """

    @field_validator("document", "output", "sources", mode="before", check_fields=False)
    @classmethod
    def _as_text(cls, value: object) -> object:
        if isinstance(value, tuple | list):
            return [as_text(each) if isinstance(each, str) else each for each in value]
        return as_text(value) if isinstance(value, str) else value

    @field_validator("*")
    @classmethod
    def _encodable(cls, value: object) -> object:
        if isinstance(value, str) and encodable(value) != value:
            raise ValueError("it is not valid UTF-8")
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """See pydantic."""
        schema = handler(core)
        for field in handler.resolve_ref_schema(schema)["properties"].values():
            kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
            if len(kinds) == 1:
                del field["anyOf"], field["default"]
                field.update({**handler.resolve_ref_schema(kinds[0]), **field})
            elif "$ref" in field:
                named = handler.resolve_ref_schema({"$ref": field.pop("$ref")})
                field.update({**named, **field})
        return schema


FORM_BACKEND = (
    "Where the model runs: ec2 (a machine of the pool), ecs (its service), sagemaker (an endpoint), ollama "
    "(the worker's own), url (HEARTH_URL), embedded (OCR without a model), or auto (a server that is set, "
    "what AWS may be taken, else the worker's own). The worker's setting if empty."
)
FORM_MODEL = "Ollama's name for it, such as qwen2.5vl:7b; the backend's default if empty."
FORM_PROMPT = "What the model is told about each page image; plain transcription if empty."
FORM_OUTPUT = "Directory of the results, or s3://bucket/prefix; the worker's (HEARTH_OUTPUT) if empty."
FORM_OUTPUT_BLOCK = (
    "A block of Prefect instead, as type/name: s3-bucket/my-results, or local-file-system/my-results. "
    "Its credentials are used, and never shown."
)
FORM_SLOTS = "Pages in flight at once, at the most: 1 to 256. The backend's default if empty."
FORM_STRICT = "A page that was read but is flagged, as one that is damaged in part, counts as failed."
FORM_FALLBACK = (
    "What document.md has of a page that failed: none of it, or partial, what its last attempts gave, flagged. "
    "It counts as failed either way."
)
FORM_ATTEMPTS = "At each page, at the most: 1 to 20."


class Job(Form):
    """What to read, and how. What is left empty takes the worker's setting (HEARTH_*)."""

    document: str = Field(
        title="PDF",
        description="Path of the PDF on the machine that runs the flow, or s3://bucket/key.",
        examples=["/data/paper.pdf", "s3://papers/inbox/paper.pdf"],
    )
    pages: str | None = Field(
        None, title="Pages", description="Which pages, such as 3,7-9 or 10-; all if empty.", examples=["3,7-9", "10-"]
    )
    output: str | None = Field(
        None, title="Output", description=FORM_OUTPUT, examples=["/data/results", "s3://papers/results"]
    )
    output_block: str | None = Field(
        None, title="Output block", description=FORM_OUTPUT_BLOCK, examples=["s3-bucket/my-results"]
    )
    password_block: str | None = Field(
        None,
        title="Password block",
        description="Of an encrypted PDF: name of the Secret block of Prefect that holds its password.",
        examples=["contract-password"],
    )
    password_env: str | None = Field(
        None,
        title="Password variable",
        description="Or the worker's environment variable that holds it.",
        examples=["CONTRACT_PASSWORD"],
    )
    backend: BackendName | None = Field(None, title="Backend", description=FORM_BACKEND)
    model: str | None = Field(None, title="Model", description=FORM_MODEL, examples=["qwen2.5vl:7b"])
    prompt: str | None = Field(None, title="Prompt", description=FORM_PROMPT)
    force: bool = Field(False, title="Read anew", description="Also the pages that have been read before.")
    require_gpu: bool = Field(False, title="Require GPU", description="Fail if the model does not fit in GPU memory.")
    slots: int | None = Field(None, ge=1, le=256, title="Slots", description=FORM_SLOTS, examples=[8])
    attempts: int | None = Field(None, ge=1, le=20, title="Attempts", description=FORM_ATTEMPTS, examples=[4])
    longest_side: int | None = Field(
        None,
        ge=64,
        le=8192,
        title="Longest side",
        description="Of the page images, in pixels: 64 to 8192. More is sharper, and slower.",
        examples=[1288],
    )
    num_ctx: int | None = Field(
        None,
        ge=256,
        title="Context (num_ctx)",
        description="Of the model, in tokens. Another value than the last run's loads the model anew.",
        examples=[8192],
    )
    num_predict: int | None = Field(
        None,
        ge=1,
        title="Most tokens a page (num_predict)",
        description="A page that takes more is read again; less than the context.",
        examples=[4096],
    )
    max_usd: float | None = Field(
        None, gt=0, title="Budget, USD", description="No page is begun when the machines have cost so much."
    )
    strict: bool = Field(False, title="Strict", description=FORM_STRICT)
    fallback: Fallback = Field(Fallback.NONE, title="Fallback", description=FORM_FALLBACK)


class ReadOptions(Frozen):
    """All that decides what a page's answer is, beside the page and the model."""

    prompt: str
    longest_side: int
    num_ctx: int
    num_predict: int


class Document(Frozen):
    """A PDF that was opened and found usable.

    Attributes:
        path: where it is.
        sha256: of the file's bytes, 64 hex digits.
        pages: how many it has.
        size: in bytes.
    """

    path: Place
    sha256: str
    pages: int
    size: int

    @property
    def name(self) -> str:
        """The file's name without its ending, as it is shown everywhere."""
        return visible_line(self.path.stem)


class Plan(Frozen):
    """What a run will do: a Job with every blank filled in.

    Attributes:
        numbers: the pages to be read, counted from 1, ascending.
        slots: how many pages in flight are asked for; what is measured may be fewer.
        attempts: at each page, at the most.
        force: pages are read anew, those apart that were stored since `began`.
        began: when the run did first, so that it goes on after an interruption with what is left.
        max_usd: no page is begun when the run's machines have cost so much.
        strict: a flagged page counts as failed.
        fallback: what is stored of a page that failed.
    """

    document: Document
    numbers: tuple[int, ...]
    backend: BackendName
    model: str
    options: ReadOptions
    output: Place
    slots: int
    attempts: int
    force: bool
    require_gpu: bool
    began: datetime | None = None
    max_usd: float | None = None
    strict: bool = False
    fallback: Fallback = Fallback.NONE

    @property
    def since(self) -> datetime | None:
        """Pages that were stored before do not count; None: whenever they were."""
        return (self.began or datetime.max.replace(tzinfo=UTC)) if self.force else None

    def identity(self, number: int, digest: str) -> str:
        """The page's identity; see `page_identity`."""
        return page_identity(self.document.sha256, number, digest, self.options)


def page_identity(sha256: str, number: int, digest: str, options: ReadOptions) -> str:
    """Return a page's identity: what has the same one is never read twice.

    Made of the page (the PDF's sha256 and the page number), the model's digest, the prompt and the options; the
    temperature is left out, since it is part of the way and not of the request.

    Args:
        sha256: the PDF's.
        number: the page, counted from 1.
        digest: the model's, as Ollama's /api/tags tells it.
        options: all else that decides what the answer is.

    Returns:
        64 hex digits.
    """
    facts = [sha256, number, digest, options.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

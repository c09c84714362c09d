"""What is asked for and what is decided: Job and Plan, frozen."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from tasks.files.place import Place


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


class Job(Frozen):
    """What is asked for: the parameters of the flow `process_document`, and its form in the UI.

    A field left empty takes the worker's setting (HEARTH_*).
    """

    document: str = Field(
        title="PDF", description="Path of the PDF on the machine that runs the flow, or s3://bucket/key."
    )
    pages: str | None = Field(None, title="Pages", description="Which pages; all if empty.", examples=["3,7-9"])
    backend: BackendName | None = Field(None, title="Backend", description="Where the model runs.")
    model: str | None = Field(None, title="Model", description="Ollama's name for it; the backend's default if empty.")
    prompt: str | None = Field(None, title="Prompt", description="What the model is told about each page image.")
    output: str | None = Field(None, title="Output", description="Directory of the results, or s3://bucket/prefix.")
    slots: int | None = Field(None, ge=1, le=256, title="Slots", description="Pages in flight at once, at the most.")
    longest_side: int | None = Field(
        None, ge=64, le=8192, title="Longest side", description="Of the page images, in pixels."
    )
    num_ctx: int | None = Field(None, ge=256, title="num_ctx", description="Context of the model, in tokens.")
    num_predict: int | None = Field(None, ge=1, title="num_predict", description="Most tokens a page may take.")
    attempts: int | None = Field(None, ge=1, le=20, title="Attempts", description="At each page, at the most.")
    force: bool = Field(False, title="Force", description="Read again what has been read before.")
    require_gpu: bool = Field(False, title="Require GPU", description="Fail if the model does not fit in GPU memory.")
    password_env: str | None = Field(
        None, title="Password variable", description="Environment variable that holds the PDF's password."
    )
    max_usd: float | None = Field(
        None, gt=0, title="Budget, USD", description="No page is begun when the machines have cost so much."
    )


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
        """The file's name without its ending."""
        return self.path.stem


class Plan(Frozen):
    """What a run will do: a Job with every blank filled in.

    Attributes:
        numbers: the pages to be read, counted from 1, ascending.
        slots: how many pages in flight are asked for; what is measured may be fewer.
        attempts: at each page, at the most.
        max_usd: no page is begun when the run's machines have cost so much.
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
    password_env: str | None
    max_usd: float | None = None

    def identity(self, number: int, digest: str) -> str:
        """The page's identity: what has the same one is never read twice.

        Made of the page (the PDF's sha256 and the page number), the model's digest, the prompt and
        the options; the temperature is left out, since it is part of the way and not of the request.

        Args:
            number: the page, counted from 1.
            digest: the model's, as Ollama's /api/tags tells it.

        Returns:
            64 hex digits.
        """
        facts = [self.document.sha256, number, digest, self.options.model_dump(mode="json")]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

"""The options of reading, which flows for one document and for many share."""

from enum import StrEnum
from typing import Any, Self

from pydantic import Field, field_validator

from tasks.core.corrections import Straightening, Turning
from tasks.core.durations import parse_duration
from tasks.core.forms import Form, duration_field, optional_field
from tasks.core.json_schema import schema_text
from tasks.core.languages import check_languages


class BackendName(StrEnum):
    """Where the model runs."""

    AUTO = "auto"
    EC2 = "ec2"
    ECS = "ecs"
    EMBEDDED = "embedded"
    OLLAMA = "ollama"
    SAGEMAKER = "sagemaker"
    URL = "url"

    @classmethod
    def add(cls, name: str) -> Self:
        """Make the name of a further backend valid in settings and jobs; see `tasks.backends.registry`."""
        member = str.__new__(cls, name)
        member._name_, member._value_ = name.upper(), name
        added: Self = _ADDED.setdefault(name, member)
        return added

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        added: Self | None = _ADDED.get(str(value))
        return added


_ADDED: dict[str, Any] = {}


class TextLayer(StrEnum):
    """Pages that are taken from the text that their PDF already has, without a model."""

    NEVER = "never"
    AUTO = "auto"
    """The pages whose text layer is sound."""
    ALWAYS = "always"
    """Every page that has text; those whose layer is not sound are flagged."""


class Fallback(StrEnum):
    """The text to store for a page when all its attempts have failed."""

    NONE = "none"
    PARTIAL = "partial"
    """The text of its last attempts, flagged; the page counts as failed, and the next run reads it again."""
    TEXT_LAYER = "text-layer"
    """The page's text layer, if its text is that of a language, flagged; the page counts as read."""


class Headers(StrEnum):
    """Treatment of running headers, running footers and page numbers."""

    KEEP = "keep"
    DROP = "drop"


class Pictures(StrEnum):
    """Treatment of pictures; text within them is always read."""

    OMIT = "omit"
    PLACEHOLDER = "placeholder"


class Options(Form):
    """How documents are read. What is left empty takes the worker's setting (HEARTH_*)."""

    pages: str | None = Field(
        None,
        title="Pages",
        description="Which pages of a document, such as 3,7-9 or 10-; all if empty.",
        examples=["3,7-9", "10-"],
    )
    backend: BackendName | None = optional_field(
        "Backend",
        "Where the model runs: ec2 (a machine of the pool), ecs (a service), sagemaker (an endpoint), "
        "ollama (the worker's own), url (HEARTH_URL), embedded (OCR without a vision model), or auto (a server that is "
        "set, else the worker's own). HEARTH_BACKEND, or auto, if empty.",
    )
    model: str | None = optional_field(
        "Model",
        "Ollama's name of the model, such as qwen2.5vl:7b. HEARTH_MODEL, or the backend's, if empty.",
        "qwen2.5vl:7b",
    )
    languages: str | None = optional_field(
        "Languages",
        "Languages of the documents for the embedded server, as Tesseract names them, the most important first. "
        "HEARTH_LANGUAGES, or English, if empty.",
        "deu+eng",
        exclude_if=lambda value: value is None,
    )
    output: str | None = Field(
        None,
        title="Output",
        description="Directory of the results, or s3://bucket/prefix. HEARTH_OUTPUT, or results, if empty.",
        examples=["/data/results", "s3://papers/results"],
    )
    prompt: str | None = optional_field(
        "Prompt", "Instruction to the model for each page. HEARTH_READ__PROMPT, or plain transcription, if empty."
    )
    json_schema: str | None = optional_field(
        "JSON Schema",
        "JSON Schema (draft 2020-12) that the answer for each page follows; it is stored as the page's data. Text as "
        "Markdown if empty.",
        '{"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}',
        json_schema_extra={"format": "json-string"},
        exclude_if=lambda value: value is None,
    )
    profile: str | None = optional_field(
        "Profile",
        "Name of the profile that says what the model is sent, such as olmocr-2. HEARTH_READ__PROFILE, or the model's, "
        "if empty.",
        "olmocr-2",
        exclude_if=lambda value: value is None,
    )
    headers: Headers = Field(
        Headers.KEEP,
        title="Running headers",
        description="Running headers, running footers and page numbers: keep, or drop. Part of the general prompt.",
        exclude_if=lambda value: value is Headers.KEEP,
    )
    pictures: Pictures = Field(
        Pictures.OMIT,
        title="Pictures",
        description="Pictures: omit, or placeholder, which is one line for each. Part of the general prompt.",
        exclude_if=lambda value: value is Pictures.OMIT,
    )
    force: bool = Field(False, title="Read anew", description="Also read pages that have been read before.")
    max_usd: float | None = optional_field(
        "Budget, USD", "Start no page once the machines have cost this many US dollars; no limit if empty.", 2, gt=0
    )
    finish_within: str | None = duration_field("Finish within", "Start no page later than this after the start.")
    strict: bool = Field(
        False,
        title="Strict",
        description="Count a page as failed if it was read but flagged, for example because part of it is damaged.",
    )
    fallback: Fallback = Field(
        Fallback.NONE,
        title="Fallback",
        description="Text of a failed page in document.md: none; partial, which is the text of its last attempts; or "
        "text-layer, which is the text that the PDF has for it. Either is flagged. With text-layer the page counts as "
        "read, otherwise as failed.",
    )
    text_layer: TextLayer = Field(
        TextLayer.NEVER,
        title="Text layer",
        description="Pages whose own text is taken from the PDF, without a model: never; auto, those whose text layer "
        "is sound; or always, all that have text, flagged where it is not sound.",
        exclude_if=lambda value: value is TextLayer.NEVER,
    )
    turn: Turning = Field(
        Turning.AUTO,
        title="Turn",
        description="Pages that lie on their side or upside down: auto, turn them before they are read, where it is "
        "certain which way; or never.",
        exclude_if=lambda value: value is Turning.AUTO,
    )
    straighten: Straightening = Field(
        Straightening.AUTO,
        title="Straighten",
        description="Scans that are skewed by 1 to 8 degrees: auto, straighten them before they are read; or never.",
        exclude_if=lambda value: value is Straightening.AUTO,
    )
    slots: int | None = optional_field(
        "Slots",
        "Maximum pages in flight at once, 1 to 256. HEARTH_SLOTS, or the backend's default, if empty.",
        8,
        ge=1,
        le=256,
    )
    attempts: int | None = optional_field(
        "Attempts", "Maximum attempts per page, 1 to 20. HEARTH_READ__ATTEMPTS, or 4, if empty.", 4, ge=1, le=20
    )
    longest_side: int | None = optional_field(
        "Longest side, pixels",
        "Longest side of the page images in pixels, 64 to 8192; more is sharper and slower. "
        "HEARTH_READ__LONGEST_SIDE, or 1288, if empty.",
        1288,
        ge=64,
        le=8192,
    )
    num_ctx: int | None = optional_field(
        "Context (num_ctx), tokens",
        "Context of the model in tokens. A value that differs from the last run's reloads the model. "
        "HEARTH_READ__NUM_CTX, or 8192, if empty.",
        8192,
        ge=256,
    )
    num_predict: int | None = optional_field(
        "Maximum tokens per page (num_predict)",
        "Maximum tokens of an answer, less than the context. A page that needs more is read again. "
        "HEARTH_READ__NUM_PREDICT, or 4096, if empty.",
        4096,
        ge=1,
    )
    require_gpu: bool = Field(False, title="Require GPU", description="Fail if the model does not fit in GPU memory.")
    password_block: str | None = optional_field(
        "Password block",
        "Name of the Prefect Secret block that holds the password of an encrypted PDF.",
        "contract-password",
    )
    password_env: str | None = optional_field(
        "Password variable",
        "Name of the worker's environment variable that holds the password of an encrypted PDF.",
        "CONTRACT_PASSWORD",
    )
    output_block: str | None = optional_field(
        "Output block",
        "Prefect block for the results, instead of Output, as type/name: s3-bucket/my-results or "
        "local-file-system/my-results. Its credentials are used and never shown.",
        "s3-bucket/my-results",
    )

    @field_validator("json_schema", mode="before")
    @classmethod
    def _schema(cls, value: object) -> str | None:
        return None if value is None or value == "" else schema_text(value)

    @field_validator("languages")
    @classmethod
    def _languages(cls, value: str | None) -> str | None:
        return check_languages(value)

    @property
    def minutes(self) -> float | None:
        """Minutes after the start at which no page is started any more; None if there is no limit."""
        return None if self.finish_within is None else parse_duration(self.finish_within) / 60

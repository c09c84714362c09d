"""The parameters of flows, which Prefect's UI shows as forms: the usual fields first, internal ones hidden.

Flows for one document and for many share one class of options.
"""

from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, field_validator
from pydantic_core import CoreSchema

from tasks.core.durations import PATTERN, parse_duration
from tasks.core.escaping import escape_surrogates
from tasks.core.paths import normalize_path_text


class Frozen(BaseModel):
    """The base of immutable models, strict about names: a misspelt option is an error, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


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


class Fallback(StrEnum):
    """What is stored of a page when all its attempts have failed."""

    NONE = "none"
    PARTIAL = "partial"
    """The text of its last attempts, flagged; the page counts as failed, and the next run reads it again."""


class Headers(StrEnum):
    """What becomes of running headers, running footers and page numbers."""

    KEEP = "keep"
    DROP = "drop"


class Pictures(StrEnum):
    """What becomes of pictures; text within them is always read."""

    OMIT = "omit"
    PLACEHOLDER = "placeholder"


class Form(Frozen):
    """The parameters of a flow, shown as its form in Prefect's UI.

    In the form, a field that may be None can simply be left empty; with pydantic's own schema a person would first
    have to choose between `str` and `None`. Over the API Prefect accepts null for such a field, except for a backend,
    which must be omitted.

    Attributes:
        usual: the fields that come first, in this order; the others follow as they are declared.
        internal: the fields that are hidden. They may still be passed, as schedules of earlier versions do.
    """

    usual: ClassVar[tuple[str, ...]] = ()
    internal: ClassVar[tuple[str, ...]] = ()

    @field_validator("document", "output", "sources", mode="before", check_fields=False)
    @classmethod
    def _as_text(cls, value: object) -> object:
        if isinstance(value, tuple | list):
            return [normalize_path_text(path) if isinstance(path, str) else path for path in value]
        return normalize_path_text(value) if isinstance(value, str) else value

    @field_validator("*")
    @classmethod
    def _encodable(cls, value: object) -> object:
        if isinstance(value, str) and escape_surrogates(value) != value:
            raise ValueError("it is not valid UTF-8")
        return value

    @field_validator("finish_within", "deadline", mode="before", check_fields=False)
    @classmethod
    def _duration(cls, value: object) -> object:
        if isinstance(value, timedelta):
            value = f"{value.total_seconds():f} s"
        if isinstance(value, str):
            parse_duration(value)
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema of the form; pydantic calls this."""
        schema = handler(core)
        own = handler.resolve_ref_schema(schema)
        for field in own["properties"].values():
            _make_plain(field, handler)
        shown = dict.fromkeys((*cls.usual, *(name for name in own["properties"] if name not in cls.internal)))
        # Prefect orders the fields by position: a database may keep an object's keys in another order.
        own["properties"] = {name: {**own["properties"][name], "position": at} for at, name in enumerate(shown)}
        if cls.internal:
            own["patternProperties"] = {f"^({'|'.join(cls.internal)})$": {}}
        return schema


def _make_plain(field: dict[str, Any], handler: GetJsonSchemaHandler) -> None:
    """Turn a field that may be None, or is an enumeration, into one plain input."""
    kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del field["anyOf"], field["default"]
        field.update({**handler.resolve_ref_schema(kinds[0]), **field})
    elif "$ref" in field:
        named = handler.resolve_ref_schema({"$ref": field.pop("$ref")})
        field.update({**named, **field})


def optional_field(title: str, description: str, example: object = None, **constraints: Any) -> Any:  # noqa: ANN401 - as pydantic's Field
    """Return a field that may be left empty."""
    examples = None if example is None else [example]
    return Field(None, title=title, description=description, examples=examples, **constraints)


def duration_field(title: str, description: str) -> Any:  # noqa: ANN401 - as pydantic's Field
    """Return a field for a duration, such as 2h. An empty one is not serialized."""
    return Field(
        None,
        max_length=60,
        title=title,
        description=f"{description} A duration, such as 2h, 90 minutes or PT2H; no limit if empty.",
        examples=["2h", "90 minutes"],
        json_schema_extra={"pattern": PATTERN},
        exclude_if=lambda value: value is None,
    )


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
    output: str | None = Field(
        None,
        title="Output",
        description="Directory of the results, or s3://bucket/prefix. HEARTH_OUTPUT, or results, if empty.",
        examples=["/data/results", "s3://papers/results"],
    )
    prompt: str | None = optional_field(
        "Prompt", "Instruction to the model for each page. HEARTH_READ__PROMPT, or plain transcription, if empty."
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
        description="Text of a failed page in document.md: none, or partial, which is the text of its last attempts, "
        "flagged. The page counts as failed either way.",
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

    @property
    def minutes(self) -> float | None:
        """Minutes after the start at which no page is started any more; None if there is no limit."""
        return None if self.finish_within is None else parse_duration(self.finish_within) / 60

"""The parameters of flows, which are forms in Prefect's UI: the usual fields first, internal ones not shown.

What reads a document and what reads many has the same options: they are one class.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, field_validator
from pydantic_core import CoreSchema

from tasks.core.durations import PATTERN, parse_duration
from tasks.core.escaping import escape_surrogates
from tasks.core.paths import normalize_path_text


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


class Form(Frozen):
    """The parameters of a flow, which are its form in Prefect's UI.

    There, a field that may be None is simply one that may be left empty; pydantic's own schema of it would have a
    person choose between `str` and `None` first. Over the API Prefect takes null for it all the same, but for a
    backend, which is to be left out.

    Attributes:
        usual: the fields that come first, in this order; the others follow as they are declared.
        internal: those that are not shown. They may be passed all the same, as schedules of earlier versions do.
    """

    usual: ClassVar[tuple[str, ...]] = ()
    internal: ClassVar[tuple[str, ...]] = ()

    @field_validator("document", "output", "sources", mode="before", check_fields=False)
    @classmethod
    def _as_text(cls, value: object) -> object:
        if isinstance(value, tuple | list):
            return [normalize_path_text(each) if isinstance(each, str) else each for each in value]
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
        """See pydantic."""
        schema = handler(core)
        own = handler.resolve_ref_schema(schema)
        for field in own["properties"].values():
            _make_plain(field, handler)
        shown = _ordered(cls.usual, (name for name in own["properties"] if name not in cls.internal))
        # Prefect shows them by position: a database may keep an object's keys in another order.
        own["properties"] = {name: {**own["properties"][name], "position": at} for at, name in enumerate(shown)}
        if cls.internal:
            own["patternProperties"] = {f"^({'|'.join(cls.internal)})$": {}}
        return schema


def _ordered(first: Iterable[str], names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys((*first, *names)))


def _make_plain(field: dict[str, Any], handler: GetJsonSchemaHandler) -> None:
    """Make of a field that may be None, or is an enumeration, one plain input."""
    kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del field["anyOf"], field["default"]
        field.update({**handler.resolve_ref_schema(kinds[0]), **field})
    elif "$ref" in field:
        named = handler.resolve_ref_schema({"$ref": field.pop("$ref")})
        field.update({**named, **field})


def duration_field(title: str, description: str) -> Any:  # noqa: ANN401 - as pydantic's Field
    """A duration in a form, such as 2h; left out of what is stored where it is empty."""
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
    backend: BackendName | None = Field(
        None,
        title="Backend",
        description="Where the model runs: ec2 (a machine of the pool), ecs (its service), sagemaker (an endpoint), "
        "ollama (the worker's own), url (HEARTH_URL), embedded (OCR without a model), or auto (a server that is set, "
        "what AWS may be taken, else the worker's own). HEARTH_BACKEND, or auto, if empty.",
    )
    model: str | None = Field(
        None,
        title="Model",
        description="Ollama's name of the model, such as qwen2.5vl:7b. HEARTH_MODEL, or the backend's, if empty.",
        examples=["qwen2.5vl:7b"],
    )
    output: str | None = Field(
        None,
        title="Output",
        description="Directory of the results, or s3://bucket/prefix. HEARTH_OUTPUT, or results, if empty.",
        examples=["/data/results", "s3://papers/results"],
    )
    prompt: str | None = Field(
        None,
        title="Prompt",
        description="What the model is told about each page. HEARTH_READ__PROMPT, or plain transcription, if empty.",
    )
    force: bool = Field(False, title="Read anew", description="Also read the pages that have been read before.")
    max_usd: float | None = Field(
        None,
        gt=0,
        title="Budget, USD",
        description="Begin no page when the machines have cost so many US dollars; no limit if empty.",
        examples=[2],
    )
    finish_within: str | None = duration_field("Finish within", "Begin no page so long after the start.")
    strict: bool = Field(
        False,
        title="Strict",
        description="Count a page that was read but is flagged, as one that is damaged in part, as failed.",
    )
    fallback: Fallback = Field(
        Fallback.NONE,
        title="Fallback",
        description="What document.md has of a page that failed: none of it, or partial, the text of its last "
        "attempts, flagged. The page counts as failed either way.",
    )
    slots: int | None = Field(
        None,
        ge=1,
        le=256,
        title="Slots",
        description="Most pages in flight at once, 1 to 256. HEARTH_SLOTS, or the backend's default, if empty.",
        examples=[8],
    )
    attempts: int | None = Field(
        None,
        ge=1,
        le=20,
        title="Attempts",
        description="Most attempts at a page, 1 to 20. HEARTH_READ__ATTEMPTS, or 4, if empty.",
        examples=[4],
    )
    longest_side: int | None = Field(
        None,
        ge=64,
        le=8192,
        title="Longest side, pixels",
        description="Longest side of the page images in pixels, 64 to 8192; more is sharper and slower. "
        "HEARTH_READ__LONGEST_SIDE, or 1288, if empty.",
        examples=[1288],
    )
    num_ctx: int | None = Field(
        None,
        ge=256,
        title="Context (num_ctx), tokens",
        description="Context of the model in tokens. Another value than the last run's loads the model anew. "
        "HEARTH_READ__NUM_CTX, or 8192, if empty.",
        examples=[8192],
    )
    num_predict: int | None = Field(
        None,
        ge=1,
        title="Most tokens a page (num_predict)",
        description="A page that takes more tokens is read again; less than the context. "
        "HEARTH_READ__NUM_PREDICT, or 4096, if empty.",
        examples=[4096],
    )
    require_gpu: bool = Field(False, title="Require GPU", description="Fail if the model does not fit in GPU memory.")
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
    output_block: str | None = Field(
        None,
        title="Output block",
        description="Instead of Output, a block of Prefect as type/name: s3-bucket/my-results, or "
        "local-file-system/my-results. Its credentials are used, and never shown.",
        examples=["s3-bucket/my-results"],
    )

    @property
    def minutes(self) -> float | None:
        """Minutes after the start at which no page is begun any more; None if there is no limit."""
        return None if self.finish_within is None else parse_duration(self.finish_within) / 60

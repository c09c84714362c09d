"""The parameters of flows, which Prefect's UI shows as forms: the usual fields first, internal ones hidden."""

from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, field_validator
from pydantic_core import CoreSchema

from tasks.core.durations import PATTERN, parse_duration
from tasks.core.escaping import escape_surrogates
from tasks.core.paths import normalize_path_text


class Frozen(BaseModel):
    """The base of immutable models, strict about names: a misspelt option is an error, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


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

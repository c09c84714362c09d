"""Where each setting comes from: the environment, a file .env, or its default; and what may be shown of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, SecretStr
from pydantic.fields import FieldInfo

from tasks.core.network import without_credentials
from tasks.settings.env_file import ENV_FILE, values_in_env_file
from tasks.settings.trust import ignored_files, is_honoured

SECRET = "(secret)"  # noqa: S105 - what is shown instead of one
_UNITS = {
    **{"USD_PER_HOUR": "USD per hour", "MAX_PRICE": "USD per hour", "MAX_USD_A_DAY": "USD", "USD": "USD"},
    **{"NUM_CTX": "tokens", "NUM_PREDICT": "tokens", "LONGEST_SIDE": "pixels", "MEGAPIXELS": "megapixels"},
    **{"SECONDS": "seconds", "MINUTES": "minutes", "HOURS": "hours", "MB": "MB", "GB": "GB", "VCPU": "vCPU"},
    **{"PAGES": "pages", "PAGES_A_SLOT": "pages", "PAGES_PER_SLOT": "pages", "DISK_THROUGHPUT": "MB/s"},
    **{"PERCENT": "percent", "CPU": "1/1024 vCPU"},
}
# They send no page elsewhere, and have no more requests paid for.
_HARMLESS = ("HEARTH_LIMITS__", "HEARTH_WARM__", "HEARTH_SLOTS", "HEARTH_READ__NUM_CTX", "HEARTH_READ__LONGEST_SIDE")
_OF_OTHERS = ("PREFECT_", "API_", "OLLAMA_HOST", "LLAMA_API_URL")
_NAMED_SECRET = re.compile(r"TOKEN|SECRET|KEY|PASSWORD|AUTH|HEADERS|CREDENTIAL", re.IGNORECASE)
_URL = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s,\"']+")
_MOST_CHARACTERS = 80


class Source(StrEnum):
    """Who set a setting."""

    DEFAULT = "default"
    ENVIRONMENT = "environment"
    ENV_FILE = ".env"
    OPTION = "option"


@dataclass(frozen=True)
class Origin:
    """A setting as it may be shown: no secret is in it.

    Attributes:
        name: its variable.
        value: None where it is unset.
        unit: empty if it has none.
        source: who set it.
        where: the variable that was read, and its file; empty for a default.
    """

    name: str
    value: str | None
    default: str | None
    unit: str
    source: Source
    where: str
    description: str


def origins(model: BaseModel, prefix: str, options: Mapping[str, object] | None = None) -> Iterator[Origin]:
    """Return every setting of a section and of those in it.

    Args:
        model: the section.
        prefix: what its variables begin with.
        options: values that options of the command take in their place, by variable.
    """
    environment = {name.upper() for name, value in os.environ.items() if value}
    in_file = {name.upper() for name in values_in_env_file()}
    chosen = {name: value for name, value in (options or {}).items() if value is not None}
    for names, given, field in _fields(model, prefix):
        source, where = _source(names, environment, in_file)
        value = chosen.get(names[0], given)
        if names[0] in chosen:
            source, where = Source.OPTION, ""
        yield Origin(
            names[0],
            _written(value),
            _written(field.get_default(call_default_factory=True)),
            unit_of(names[0]),
            source,
            where,
            field.description or "",
        )


def notes() -> list[str]:
    """Return what a person should know of the working directory before a run: a line for .env, and one for Prefect's.

    Named is what sends pages or text somewhere, or costs money: all but what is known to do neither.
    """
    set_here: list[str] = []
    ignored = list(ignored_files())
    for name, value in values_in_env_file().items():
        upper = name.upper()
        if not upper.startswith(("HEARTH_", *_OF_OTHERS)) or upper.startswith(_HARMLESS) or os.environ.get(name):
            continue
        if is_honoured(name):
            set_here.append(f"{name}={_short(name, value)}")
        else:
            ignored.append(f"{name} in .env")
    told = [f"{Path(ENV_FILE).absolute()} sets {', '.join(set_here)}."] if set_here else []
    if ignored:
        told.append(
            f"Not honoured here, because it can run code: {', '.join(ignored)}. "
            "HEARTH_TRUST_DIRECTORY=1 in the environment honours it."
        )
    return told


def unit_of(name: str) -> str:
    """Return a setting's unit, by the end of its name; empty if it has none."""
    words = name.rpartition("__")[2].split("_")
    ends = ("_".join(words[start:]) for start in range(len(words)))
    return next((_UNITS[end] for end in ends if end in _UNITS), "")


def _fields(model: BaseModel, prefix: str) -> Iterator[tuple[list[str], Any, FieldInfo]]:
    """Yield each setting with the variables that set it, its own first."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _fields(value, f"{prefix}{name.upper()}__")
            continue
        names = [f"{prefix}{name.upper()}"]
        if isinstance(field.validation_alias, AliasChoices):
            names += [str(choice).upper() for choice in field.validation_alias.choices[1:]]
        parts = names[0].split("__")
        names += ["__".join(parts[:length]) for length in range(len(parts) - 1, 0, -1)]  # a whole section as JSON
        yield names, value, field


def _source(names: list[str], environment: set[str], in_file: set[str]) -> tuple[Source, str]:
    for each in names:
        if each in environment:
            return Source.ENVIRONMENT, each
    for each in names:
        if each in in_file:
            return Source.ENV_FILE, f"{each} in {Path(ENV_FILE).absolute()}"
    return Source.DEFAULT, ""


def _written(value: object) -> str | None:
    if value is None or value == "" or isinstance(value, SecretStr):
        return SECRET if isinstance(value, SecretStr) else None
    if isinstance(value, dict):
        return json.dumps({name: _written(each) for name, each in value.items()}) if value else None
    if isinstance(value, bool | tuple | list):
        return json.dumps(value, default=str)
    return _masked(str(value))


def _masked(text: str) -> str:
    if "://" not in text and "@" in text:  # a server without a scheme, as OLLAMA_HOST has it
        return re.sub(r"[^\s,/]*@", "", text)
    return _URL.sub(lambda url: without_credentials(url[0]), text)


def _short(name: str, value: str) -> str:
    if _NAMED_SECRET.search(name):
        return SECRET
    shown = " ".join(_masked(value).split())
    return shown if len(shown) <= _MOST_CHARACTERS else f"{shown[: _MOST_CHARACTERS - 1]}…"

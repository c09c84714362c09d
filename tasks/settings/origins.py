"""The origin of each setting: the environment, .env, or its default. Secrets are masked."""

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

SECRET = "(secret)"  # noqa: S105 - a mask
_UNITS = {
    **{"USD_PER_HOUR": "USD per hour", "MAX_PRICE": "USD per hour", "MAX_USD_A_DAY": "USD", "USD": "USD"},
    **{"NUM_CTX": "tokens", "NUM_PREDICT": "tokens", "LONGEST_SIDE": "pixels", "MEGAPIXELS": "megapixels"},
    **{"SECONDS": "seconds", "MINUTES": "minutes", "HOURS": "hours", "MB": "MB", "GB": "GB", "VCPU": "vCPU"},
    **{"PAGES": "pages", "PAGES_A_SLOT": "pages", "PAGES_PER_SLOT": "pages", "DISK_THROUGHPUT": "MB/s"},
    **{"PERCENT": "percent", "CPU": "1/1024 vCPU"},
}
# Settings that neither send pages elsewhere nor cost money.
_HARMLESS = ("HEARTH_LIMITS__", "HEARTH_WARM__", "HEARTH_SLOTS", "HEARTH_READ__NUM_CTX", "HEARTH_READ__LONGEST_SIDE")
_OTHER_PREFIXES = ("PREFECT_", "API_", "OLLAMA_HOST", "LLAMA_API_URL")
_NAMED_SECRET = re.compile(r"TOKEN|SECRET|KEY|PASSWORD|AUTH|HEADERS|CREDENTIAL", re.IGNORECASE)
_URL = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s,\"']+")
_MOST_CHARACTERS = 80


class Source(StrEnum):
    """The origin of a setting."""

    DEFAULT = "default"
    ENVIRONMENT = "environment"
    ENV_FILE = ".env"
    OPTION = "option"


@dataclass(frozen=True)
class Origin:
    """A setting and its origin, without secrets.

    Attributes:
        value: None if it is unset.
        unit: empty if it has none.
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
    """Yield every setting of a section and of its subsections.

    Args:
        model: the section.
        prefix: prefix of its variables.
        options: values of command options that override settings, by variable.
    """
    environment = {name.upper() for name, value in os.environ.items() if value}
    in_file = {name.upper() for name in values_in_env_file()}
    chosen = {name: value for name, value in (options or {}).items() if value is not None}
    for names, configured, field in _fields(model, prefix):
        source, where = _source(names, environment, in_file)
        value = chosen.get(names[0], configured)
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
    """Return notes about the working directory: settings in .env, and Prefect settings that are not honoured.

    They name every setting that may send pages or text somewhere, or cost money.
    """
    set_here: list[str] = []
    ignored = list(ignored_files())
    for name, value in values_in_env_file().items():
        upper = name.upper()
        if not upper.startswith(("HEARTH_", *_OTHER_PREFIXES)) or upper.startswith(_HARMLESS) or os.environ.get(name):
            continue
        if is_honoured(name):
            set_here.append(f"{name}={_short(name, value)}")
        else:
            ignored.append(f"{name} in .env")
    lines = [f"{Path(ENV_FILE).absolute()} sets {', '.join(set_here)}."] if set_here else []
    if ignored:
        lines.append(
            f"Ignored here, because it can run code: {', '.join(ignored)}. "
            "Set HEARTH_TRUST_DIRECTORY=1 in the environment to allow it."
        )
    return lines


def unit_of(name: str) -> str:
    """Return a setting's unit, which follows from the end of its name; empty if it has none."""
    words = name.rpartition("__")[2].split("_")
    ends = ("_".join(words[start:]) for start in range(len(words)))
    return next((_UNITS[end] for end in ends if end in _UNITS), "")


def _fields(model: BaseModel, prefix: str) -> Iterator[tuple[list[str], Any, FieldInfo]]:
    """Yield each setting's variables, its own first, with its value and field."""
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
    if name := next(filter(environment.__contains__, names), ""):
        return Source.ENVIRONMENT, name
    if name := next(filter(in_file.__contains__, names), ""):
        return Source.ENV_FILE, f"{name} in {Path(ENV_FILE).absolute()}"
    return Source.DEFAULT, ""


def _written(value: object) -> str | None:
    if value is None or value == "" or isinstance(value, SecretStr):
        return SECRET if isinstance(value, SecretStr) else None
    if isinstance(value, dict):
        return json.dumps({name: _written(item) for name, item in value.items()}) if value else None
    if isinstance(value, bool | tuple | list):
        return json.dumps(value, default=str)
    return _masked(str(value))


def _masked(text: str) -> str:
    if "://" not in text and "@" in text:  # a server without a scheme, as in OLLAMA_HOST
        return re.sub(r"[^\s,/]*@", "", text)
    return _URL.sub(lambda url: without_credentials(url[0]), text)


def _short(name: str, value: str) -> str:
    if _NAMED_SECRET.search(name):
        return SECRET
    shown = " ".join(_masked(value).split())
    return shown if len(shown) <= _MOST_CHARACTERS else f"{shown[: _MOST_CHARACTERS - 1]}…"

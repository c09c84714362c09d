"""Every setting, from HEARTH_* variables and .env. The reference in docs/ is generated from the descriptions."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from tasks.core.errors import InputError
from tasks.core.escaping import escape_surrogates
from tasks.core.jobs import BackendName
from tasks.core.languages import check_languages
from tasks.core.paths import StoragePath
from tasks.core.private import SHARED, Sharing
from tasks.inference.api import Api
from tasks.settings.ec2 import Ec2Settings, Ec2StackSettings
from tasks.settings.ecs import EcsSettings, EcsStackSettings
from tasks.settings.env_file import ENV_FILE, read_any_encoding, values_in_env_file
from tasks.settings.metrics import MetricsSettings, MonitoringSettings
from tasks.settings.reading import LimitSettings, ReadSettings, WarmSettings
from tasks.settings.retention import RetentionSettings
from tasks.settings.sagemaker import SagemakerSettings, SagemakerStackSettings
from tasks.settings.trigger import TriggerSettings


def _cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hearth"


_PREFIX = "HEARTH_"
_TOKEN = re.compile(r"[\x21-\x7e]+")
_HEADER = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_PATHS = {"HEARTH_OUTPUT", "HEARTH_INBOX", "HEARTH_HOME", "HEARTH_URL_CA"}  # paths may contain any bytes
_REMOVED = {
    "HEARTH_AUTO": "`auto` chooses no backend that costs money. Set HEARTH_BACKEND to ec2, ecs or sagemaker; "
    "`hearth plan` compares their costs."
}
"""Settings and sections of earlier versions, with what replaces them."""
OF_THE_EMBEDDED_SERVER = {"HEARTH_EMBEDDED_MODELS"}


class Settings(BaseSettings):
    """All settings of Hearth. A nested one is written like HEARTH_READ__NUM_CTX."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    backend: BackendName = Field(BackendName.AUTO, description=f"Where the model runs: {', '.join(BackendName)}.")
    url: str | None = Field(
        None,
        validation_alias=AliasChoices("HEARTH_URL", "LLAMA_API_URL", "OLLAMA_HOST"),
        description="Address of a running Ollama server, for example http://user:password@host:11434; separate several "
        "by commas. LLAMA_API_URL and OLLAMA_HOST are read as well.",
    )
    url_api: Api = Field(
        Api.AUTO,
        description="HTTP API of the servers at HEARTH_URL: ollama, openai (vLLM, llama-server, LM Studio, SGLang, "
        "gateways), or auto: Ollama's if the server answers /api/version, else OpenAI's.",
    )
    url_token: SecretStr | None = Field(None, description="Bearer token for the servers at HEARTH_URL.")
    url_headers: dict[str, SecretStr] = Field(
        {}, description='Headers for the servers at HEARTH_URL (JSON object), for example {"X-Api-Key": "..."}.'
    )
    url_ca: Path | None = Field(
        None, description="PEM file of the certificate authorities for HEARTH_URL; the system's authorities if unset."
    )
    model: str | None = Field(None, description="Ollama's name of the model; the backend's default if unset.")
    languages: str | None = Field(
        None,
        description="Languages of the documents for the embedded server, as Tesseract names them, the most important "
        "first, such as deu+eng; eng if unset. Other backends ignore it.",
    )
    tessdata: str | None = Field(
        None,
        description="Directories of Tesseract's trained data (*.traineddata) for the embedded server, separated by "
        "colons. What wheels and the system's packages bring is found without it.",
    )
    slots: int | None = Field(
        None, ge=1, le=256, description="Maximum pages in flight; the backend's default if unset."
    )
    idle_minutes: float = Field(
        10, gt=0, description="Time for which an unused server of Hearth's stays warm, minutes."
    )
    output: Annotated[StoragePath, NoDecode] = Field(
        Path("results"), description="Directory of the results, or s3://bucket/prefix."
    )
    inbox: Annotated[StoragePath, NoDecode] = Field(
        Path("inbox"), description="Directory, or s3://bucket/prefix, that a batch reads if it names no sources."
    )
    home: Path = Field(default_factory=_cache_directory, description="Directory of Hearth's own state.")

    shared: Sharing = Field(
        Sharing.NO,
        description="Who else may use the files that Hearth stores on this machine: no (nobody), group (that of the "
        "directory), or all (everybody whom the umask allows).",
    )
    trust_directory: bool = Field(
        False,
        description="Whether Prefect honours prefect.toml, pyproject.toml and all its variables in .env of the working "
        "directory, which can run code. It has an effect only in the environment.",
    )

    @field_validator("url")
    @classmethod
    def _written(cls, url: str | None) -> str | None:
        return url if url and url.strip(" \t\"'") else None

    @field_validator("languages")
    @classmethod
    def _languages(cls, value: str | None) -> str | None:
        return check_languages(value)

    @field_validator("url_token")
    @classmethod
    def _token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not _TOKEN.fullmatch(token.get_secret_value().strip()):
            raise ValueError("a token consists of printable ASCII characters without blanks")
        return token and SecretStr(token.get_secret_value().strip())

    @field_validator("url_headers")
    @classmethod
    def _headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not _HEADER.fullmatch(name) or not _HEADER_VALUE.fullmatch(value.get_secret_value()):
                raise ValueError("a header has a name of one word and a value of one line, in ASCII")
        return headers

    @field_validator("url_ca")
    @classmethod
    def _expanded(cls, path: Path | None) -> Path | None:
        return path and path.expanduser().absolute()

    @field_validator("output", "inbox", "home")
    @classmethod
    def _absolute(cls, place: StoragePath) -> StoragePath:
        return place.expanduser().absolute() if isinstance(place, Path) else place

    excerpts: bool = Field(
        True, description="Whether Prefect stores the first 80 characters of each page; no for confidential documents."
    )
    read: ReadSettings = ReadSettings()
    limits: LimitSettings = LimitSettings()
    warm: WarmSettings = WarmSettings()
    ec2: Ec2Settings = Ec2Settings()
    ec2_stack: Ec2StackSettings = Ec2StackSettings()
    metrics: MetricsSettings = MetricsSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    sagemaker: SagemakerSettings = SagemakerSettings()
    sagemaker_stack: SagemakerStackSettings = SagemakerStackSettings()
    ecs: EcsSettings = EcsSettings()
    ecs_stack: EcsStackSettings = EcsStackSettings()
    trigger: TriggerSettings = TriggerSettings()
    retention: RetentionSettings = RetentionSettings()

    @property
    def names_backend(self) -> bool:
        """Whether a setting chooses a backend, or is one of its section; without, no cloud is asked."""
        return not self.model_fields_set.isdisjoint({"backend", *BackendName})


def load_settings() -> Settings:
    """Read the settings from the environment and .env. Empty variables count as unset.

    Raises:
        InputError: a setting is invalid, unknown or no longer supported; the message names it.
    """
    known = {f"{_PREFIX}{name}".upper() for name in Settings.model_fields} | OF_THE_EMBEDDED_SERVER
    read_any_encoding()
    for variable in (*(name for name, value in os.environ.items() if value), *values_in_env_file()):
        section = variable.upper().partition("__")[0]
        if section in _REMOVED:
            raise InputError(f"The setting {variable} was removed: {_REMOVED[section]}")
        if variable.startswith(_PREFIX) and section not in known:
            raise _unknown(variable)
        if variable.startswith(_PREFIX) and _is_invalid_text(variable):
            raise InputError(f"The setting {variable} is wrong: it is not valid UTF-8. Correct it in the environment.")
    try:
        settings = Settings()
    except (SettingsError, RuntimeError, ValidationError) as error:
        raise wrong_setting(error, _PREFIX) from None
    if settings.shared.value != os.environ.get(SHARED, Sharing.NO):
        os.environ[SHARED] = settings.shared.value  # for all code that stores files, also in child processes
    return settings


def wrong_setting(error: SettingsError | RuntimeError | ValidationError, prefix: str) -> InputError:
    """Return the error for a wrong setting; the message names the variable, which begins with a prefix."""
    if not isinstance(error, ValidationError):
        return InputError(f"A setting is wrong: {error}. Correct it in the environment or in .env.")
    first = error.errors(include_input=False)[0]
    name = prefix + "__".join(str(part) for part in first["loc"]).upper()
    if first["type"] == "extra_forbidden":
        return _unknown(name)
    why = first["msg"].removeprefix("Value error, ")
    return InputError(f"The setting {name} is wrong: {why}. Correct it in the environment or in .env.")


def _is_invalid_text(variable: str) -> bool:
    value = os.environ.get(variable, "")
    return escape_surrogates(value) != value and variable.upper() not in _PATHS


def _unknown(variable: str) -> InputError:
    return InputError(f"There is no setting {variable}. docs/reference/settings.md lists all settings.")

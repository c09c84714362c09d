"""The settings of the HTTP API, from API_* variables or .env; those of reading are Hearth's own."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from tasks.core.errors import InputError
from tasks.core.jobs import BackendName


class ApiSettings(BaseSettings):
    """What the backend needs beside `tasks.settings.settings`."""

    model_config = SettingsConfigDict(env_prefix="API_", env_file=".env", extra="ignore", frozen=True)

    directory: Path = Field(
        Path("results/api"), description="Documents, results and pending webhooks; the worker must see it, too."
    )
    token: SecretStr | None = Field(
        None, min_length=16, description="Bearer token of all requests; without one, loopback only."
    )
    webhook_secret: SecretStr | None = Field(
        None, min_length=16, description="What webhooks are signed with; none are sent without it."
    )
    webhook_private: bool = Field(
        False, description="Also send webhooks to private networks and, over plain http, to this machine."
    )
    prefect_seconds: float = Field(
        120.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds during which a request to Prefect is sent again before the API answers 503, such as 60.",
    )
    password_variables: tuple[str, ...] = Field(
        (), description="Environment variables that `password_env` may name (JSON list)."
    )
    backends: tuple[BackendName, ...] = Field(
        (BackendName.AUTO, BackendName.EMBEDDED, BackendName.OLLAMA, BackendName.URL),
        description="Backends that `backend` may name beside HEARTH_BACKEND (JSON list); by default those that cost "
        "nothing.",
    )
    models: tuple[str, ...] = Field(
        ("tesseract:*",),
        description="Models that `model` may name beside HEARTH_MODEL and the backends' own (JSON list), such as "
        '["qwen2.5vl:*"]; ["*"] allows all.',
    )
    max_num_ctx: int = Field(32_768, ge=256, description="Largest `num_ctx` of a request, tokens.")
    max_num_predict: int = Field(16_384, ge=1, description="Largest `num_predict` of a request, tokens.")
    max_attempts: int = Field(8, ge=1, description="Most `attempts` of a request.")
    max_slots: int = Field(32, ge=1, description="Most `slots` of a request.")
    max_usd: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="Largest budget of a request, USD, and the budget of one that names none.",
    )
    max_pages: int = Field(5_000, ge=1, description="Most pages of a request.")
    max_prompt: int = Field(8_000, ge=1, description="Longest `prompt` of a request, characters.")
    uploads: int = Field(64, ge=1, description="Uploads at once; more are refused until one has ended.")
    upload_seconds: float = Field(900.0, gt=0, allow_inf_nan=False, description="Longest upload, seconds.")
    disk_gb: float = Field(
        100.0, gt=0, allow_inf_nan=False, description="Most that API_DIRECTORY may hold for uploads to be taken, GB."
    )
    connections: int = Field(
        256, ge=4, description="Connections at once; half of them may follow events. Idle ones make room for others."
    )
    header_seconds: float = Field(
        10.0, gt=0, allow_inf_nan=False, description="Longest wait for the head of a request, seconds."
    )

    @field_validator("directory")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()


def load_api_settings() -> ApiSettings:
    """Read them.

    Raises:
        InputError: one is not what it should be.
    """
    try:
        return ApiSettings()
    except (SettingsError, RuntimeError) as error:
        raise InputError(f"A setting is wrong: {error}. Correct it in the environment or in .env.") from None
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = f"API_{first['loc'][0]}".upper()
        raise InputError(
            f"The setting {name} is wrong: {first['msg']}. Correct it in the environment or in .env."
        ) from None

"""The settings of the HTTP API, from API_* variables or .env, beside those of `tasks.settings`."""

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from tasks.core.jobs import BackendName
from tasks.settings.settings import wrong_setting


class ApiSettings(BaseSettings):
    """The settings of the HTTP API."""

    model_config = SettingsConfigDict(env_prefix="API_", env_file=".env", extra="ignore", frozen=True)

    directory: Path = Field(
        Path("results/api"),
        description="Directory of documents, results and pending webhooks; the worker must have access to it, too.",
    )
    token: SecretStr | None = Field(
        None, min_length=16, description="Bearer token of all requests; without it, only loopback is served."
    )
    webhook_secret: SecretStr | None = Field(
        None, min_length=16, description="Secret for signing webhooks; without it, none are sent."
    )
    webhook_private: bool = Field(
        False, description="Also send webhooks to private networks and, over plain http, to this machine."
    )
    prefect_seconds: float = Field(
        120.0,
        gt=0,
        allow_inf_nan=False,
        description="Time during which a request to Prefect is retried before the API responds with 503, seconds.",
    )
    password_variables: tuple[str, ...] = Field(
        (), description="Environment variables that `password_env` may name (JSON list)."
    )
    backends: tuple[BackendName, ...] = Field(
        (BackendName.AUTO, BackendName.EMBEDDED, BackendName.OLLAMA, BackendName.URL),
        description="Backends that `backend` may name beside HEARTH_BACKEND (JSON list); by default the free ones.",
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
        description="Largest budget of a request, USD, and the budget of requests without one.",
    )
    max_pages: int = Field(5_000, ge=1, description="Most pages of a request.")
    max_prompt: int = Field(
        8_000, ge=1, description="Longest `prompt`, and longest `json_schema`, of a request, characters."
    )
    uploads: int = Field(64, ge=1, description="Maximum number of parallel uploads.")
    upload_seconds: float = Field(
        900.0, gt=0, allow_inf_nan=False, description="Maximum duration of an upload, seconds."
    )
    disk_gb: float = Field(
        100.0, gt=0, allow_inf_nan=False, description="Size of API_DIRECTORY above which uploads are refused, GB."
    )
    connections: int = Field(
        256,
        ge=4,
        description="Maximum number of parallel connections, half of them for events; idle ones are closed first.",
    )
    header_seconds: float = Field(
        10.0, gt=0, allow_inf_nan=False, description="Maximum time for the head of a request, seconds."
    )

    @field_validator("directory")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()


def load_api_settings() -> ApiSettings:
    """Read the settings; raise InputError if one is wrong."""
    try:
        return ApiSettings()
    except (SettingsError, RuntimeError, ValidationError) as error:
        raise wrong_setting(error, "API_") from None

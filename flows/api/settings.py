"""The settings of the HTTP API, from API_* variables or .env; those of reading are Hearth's own."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from tasks.core.errors import InputError


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

"""The temporary server that Prefect starts for a script that has none: it, too, asks for a password.

Prefect starts it with the settings of the script's process, at a port that everybody on the machine reaches, over the
database of its user. The password is known to this process and its server alone.
"""

from __future__ import annotations

from secrets import token_urlsafe
from typing import Any

from prefect import context
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_SERVER_API_AUTH_STRING,
    PREFECT_SERVER_CORS_ALLOWED_ORIGINS,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
)

_START_SECONDS = 300
"""Twenty, Prefect's default, is not enough on a busy machine."""

SECRET = f"hearth:{token_urlsafe(32)}"


def secure_ephemeral_server() -> None:
    """Have a temporary server that this process may start ask for a password. No other server is concerned."""
    found = context.get_settings_context()
    if found.settings.api.url or found.settings.server.api.auth_string is not None:
        return
    # No page is its own: it has no UI.
    ours: dict[Any, str | int] = {
        PREFECT_SERVER_API_AUTH_STRING: SECRET,
        PREFECT_API_AUTH_STRING: SECRET,
        PREFECT_SERVER_CORS_ALLOWED_ORIGINS: "null.invalid",
        PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: _START_SECONDS,
    }
    settings = found.settings.copy_with_update(updates=ours)
    context.GLOBAL_SETTINGS_CONTEXT = context.SettingsContext(profile=found.profile, settings=settings)

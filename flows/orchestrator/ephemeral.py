"""Protect the temporary server that Prefect starts for a script without a server: it requires a password.

Prefect starts it with the settings of the script's process, on the database of the script's user, at a port that every
user of the machine can reach. Only this process and its server know the password.
"""

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
"""Prefect's default of 20 s is too short on a busy machine."""

SECRET = f"hearth:{token_urlsafe(32)}"


def secure_ephemeral_server() -> None:
    """Have a temporary server that this process may start require a password. Other servers are not affected."""
    current = context.get_settings_context()
    if current.settings.api.url or current.settings.server.api.auth_string is not None:
        return
    # It has no UI, so no page in a browser may call it.
    ours: dict[Any, str | int] = {
        PREFECT_SERVER_API_AUTH_STRING: SECRET,
        PREFECT_API_AUTH_STRING: SECRET,
        PREFECT_SERVER_CORS_ALLOWED_ORIGINS: "null.invalid",
        PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: _START_SECONDS,
    }
    settings = current.settings.copy_with_update(updates=ours)
    context.GLOBAL_SETTINGS_CONTEXT = context.SettingsContext(profile=current.profile, settings=settings)

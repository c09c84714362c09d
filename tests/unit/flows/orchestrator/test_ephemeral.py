"""The temporary server that Prefect may start for a script requires a password; other servers are not affected."""

from __future__ import annotations

import pytest
from prefect import context
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_SERVER_API_AUTH_STRING,
    get_current_settings,
    temporary_settings,
)

from flows.orchestrator.ephemeral import SECRET, secure_ephemeral_server


@pytest.fixture(autouse=True)
def settings_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's own settings, as of a process that has neither server nor password."""
    found = context.GLOBAL_SETTINGS_CONTEXT
    bare = found.settings.copy_with_update(
        restore_defaults={PREFECT_API_URL, PREFECT_API_AUTH_STRING, PREFECT_SERVER_API_AUTH_STRING}
    )
    fresh = context.SettingsContext(profile=found.profile, settings=bare)
    monkeypatch.setattr(context, "GLOBAL_SETTINGS_CONTEXT", fresh)


def passwords() -> tuple[str | None, str | None]:
    settings = get_current_settings()
    both = settings.server.api.auth_string, settings.api.auth_string
    server, client = (each.get_secret_value() if each is not None else None for each in both)
    return server, client


def test_server_and_client_have_the_same_password_by_their_environment():
    secure_ephemeral_server()
    assert passwords() == (SECRET, SECRET)
    environment = get_current_settings().to_environment_variables(exclude_unset=True)
    assert environment["PREFECT_SERVER_API_AUTH_STRING"] == SECRET
    assert environment["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] != "*"


def test_the_password_is_random():
    assert len(SECRET) > 40


def test_a_configured_server_changes_nothing():
    with temporary_settings({PREFECT_API_URL: "http://prefect.lan:4200/api"}):
        secure_ephemeral_server()
        assert passwords() == (None, None)


def test_a_password_of_the_user_is_kept():
    with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: "mine:own", PREFECT_API_AUTH_STRING: "mine:own"}):
        secure_ephemeral_server()
        assert passwords() == ("mine:own", "mine:own")

"""Use the configured Prefect server, or start a local one that is shared and stopped when idle.

Prefect's own temporary server starts anew for each process (9 s here) and has no UI. The local one stays warm, so the
next run starts at once, and runs are visible in a browser.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    get_current_settings,
    temporary_settings,
)

from flows.local.own_server import OwnServer, hold_own, lease_own, was_own
from flows.local.password import password
from flows.local.profile import keep_profile
from flows.orchestrator.late_ends import deliver
from tasks.core.aio import background
from tasks.core.errors import ServerError
from tasks.core.events import Progress, emit
from tasks.core.network import PREFECTS_CERTIFICATES, check_connection, without_credentials
from tasks.settings.settings import Settings

_POLL_SECONDS = 1.0


@dataclass
class PrefectApi:
    """Prefect's API, while `prefect_api` keeps it available.

    Attributes:
        url: address of the API.
        own: the server, if Hearth started it.
        lost: set when that server cannot be restarted.
    """

    url: str
    own: OwnServer | None
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    def environment(self) -> dict[str, str]:
        """Return the environment of a process that uses the API."""
        if self.own is None:
            return {**os.environ, "PREFECT_API_URL": self.url}
        # A key is for another server, and must not be sent to this one.
        values = {"PREFECT_API_URL": self.url, "PREFECT_API_AUTH_STRING": self.own.password, "PREFECT_API_KEY": ""}
        return {**os.environ, **values}


@asynccontextmanager
async def prefect_client(settings: Settings, failure: str) -> AsyncIterator[PrefectClient]:
    """Provide a client of Prefect's API for a command; a failed request is a ServerError that begins with `failure`."""
    try:
        async with prefect_api(settings), get_client() as client:
            yield client
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise ServerError(f"{failure}: {error}. Run this again later.") from None


@asynccontextmanager
async def prefect_api(settings: Settings) -> AsyncIterator[PrefectApi]:
    """Provide Prefect's API: the one that PREFECT_API_URL or the profile names, else a local server's.

    A server of Hearth's own is leased, and restarted if it dies. When it is back, it receives the states of runs that
    ended without it.

    Raises:
        ServerError: the server does not answer, or the local one does not start.
    """
    configured = get_current_settings().api.url
    own = await _own(configured, settings)
    api = PrefectApi(str(configured) if own is None else own.api, own)
    changed = {} if own is None else {PREFECT_API_URL: own.api, PREFECT_API_AUTH_STRING: own.password}
    try:
        with temporary_settings(changed, restore_defaults=[PREFECT_API_KEY] if changed else []):
            async with background(_keep(api, settings)):
                yield api
    finally:
        if own is not None:
            own.leased.lease.release()


async def _own(configured: str | None, settings: Settings) -> OwnServer | None:
    """Return Hearth's own server, which is started if needed; None if another one is configured and answers."""
    if configured:
        if own := await hold_own(configured, settings):
            return own
        was = was_own(configured, settings.home)
        if not (was and _sends_password(settings)):  # another process may use the address now
            check_connection(configured, PREFECTS_CERTIFICATES)
            async with get_client() as client:
                trouble = await client.api_healthcheck()
            if trouble is None:
                return None
        if not was:
            raise ServerError(
                f"Prefect does not answer at {without_credentials(configured)}. "
                "Start it, correct PREFECT_API_URL, or unset it so that Hearth starts a local one."
            )
    emit(Progress("starting a local Prefect server (the next run finds it warm)"))
    own = await lease_own(settings)
    keep_profile(own.api, own.password, make=False)  # its address may have changed
    return own


def _sends_password(settings: Settings) -> bool:
    """Return whether Prefect's client would send the password of Hearth's own server."""
    sent = get_current_settings().api.auth_string
    return sent is not None and sent.get_secret_value() == password(settings.home)


async def _keep(api: PrefectApi, settings: Settings) -> None:
    """Restart the server if it has died, and send Prefect the states of runs that ended without it."""
    while True:
        if api.own is not None and not api.lost.is_set() and not await api.own.revive(settings):
            api.lost.set()
        await deliver(settings.home, api.url)
        await asyncio.sleep(_POLL_SECONDS)

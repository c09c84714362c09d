"""Check whether a run can use Prefect."""

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings

from flows.local.own_server import own_servers
from tasks.core.finding import Finding, Findings, State
from tasks.core.network import PREFECTS_CERTIFICATES, check_connection, without_credentials
from tasks.settings.settings import Settings


async def check_prefect(settings: Settings) -> Findings:
    """Check that the configured server answers and accepts this client's credentials. It starts no server."""
    url = get_current_settings().api.url
    if not url:
        running = [server.url for server in own_servers(settings.home)]
        local = f"is running at {running[0]}" if running else "starts when a run needs it"
        yield Finding(State.OK, f"No server is configured. A local one {local}.")
        return
    shown = without_credentials(url)
    check_connection(url, PREFECTS_CERTIFICATES)
    async with get_client() as client:
        if await client.api_healthcheck() is not None:
            remedy = "Start it, correct PREFECT_API_URL, or unset it so that Hearth starts a local one."
            yield Finding(State.MISSING, f"Prefect does not answer at {shown}.", remedy)
            return
        try:
            version = await client.api_version()
        except (PrefectHTTPStatusError, httpx.HTTPError) as error:
            code = error.response.status_code if isinstance(error, PrefectHTTPStatusError) else type(error).__name__
            remedy = "Set PREFECT_API_KEY (Cloud), or PREFECT_API_AUTH_STRING (a server with a password)."
            yield Finding(State.MISSING, f"Prefect at {shown} rejects this client ({code}).", remedy)
            return
    yield Finding(State.OK, f"Prefect {version} answers at {shown}.")

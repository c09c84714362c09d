"""The parts of the HTTP API that need no server: signatures, addresses, what it remembers and what it shows."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Completed, Running, State

from flows.api.addresses import resolved
from flows.api.app import create_app
from flows.api.followed import Followed, Seen
from flows.api.prefect_state import RefusedError, Status, answer_of_prefect
from flows.api.records import Record, numbers_in, ranges
from flows.api.runs import Runs
from flows.api.settings import ApiSettings, load_api_settings
from flows.api.signature import SIGNATURE_HEADER, sign, verify
from flows.api.sse import events
from flows.api.uploads import parameters
from tasks.core.errors import FailureReason, InputError, ServerError
from tasks.results.page import PageResult, PageStatus
from tasks.results.store import ResultStore
from tasks.settings.settings import Settings
from tests.support.commands import ROOT
from tests.support.waiting import PATIENCE

NOW = 1_800_000_000.0


def test_a_signature_holds_for_this_body_this_secret_and_this_time():
    headers = sign("secret", b"{}", NOW)
    assert verify("secret", headers, b"{}", now=NOW + 60)
    assert verify("secret", {name.lower(): value for name, value in headers.items()}, b"{}", now=NOW)
    assert not verify("secret", headers, b"{ }", now=NOW)
    assert not verify("another", headers, b"{}", now=NOW)
    assert not verify("secret", {**headers, "Hearth-Webhook-Timestamp": str(int(NOW) + 1)}, b"{}", now=NOW)


def test_an_old_webhook_that_is_sent_again_is_refused():
    headers = sign("secret", b"{}", NOW)
    assert not verify("secret", headers, b"{}", now=NOW + 301)
    assert verify("secret", headers, b"{}", now=NOW + 301, tolerance=600)


@pytest.mark.parametrize("headers", [{}, {"Hearth-Webhook-Timestamp": "soon"}, {SIGNATURE_HEADER: "v1="}])
def test_a_webhook_without_a_signature_is_refused(headers: dict[str, str]):
    assert not verify("secret", headers, b"{}", now=NOW)


@pytest.mark.parametrize(
    "url",
    [
        *("http://8.8.8.8/", "https://127.0.0.1/", "https://10.1.2.3/", "https://192.168.0.1/", "https://0.0.0.0/"),
        *("https://169.254.169.254/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://[fd00::1]/"),
        *("https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://224.0.0.1/", "https://100.64.0.1/"),
        *("https://user:password@8.8.8.8/", "ftp://8.8.8.8/", "file:///etc/passwd", "8.8.8.8", "https://", "https://["),
    ],
)
async def test_webhooks_go_to_public_addresses_over_https_alone(url: str):
    with pytest.raises(InputError):
        await resolved(url, private=False)


async def test_a_public_address_is_taken_as_it_is():
    assert await resolved("https://8.8.8.8/hook?a=b", private=False) == "8.8.8.8"


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:9/", True),
        ("https://10.1.2.3/", True),
        ("http://10.1.2.3/", False),
        ("https://169.254.169.254/", False),
    ],
)
async def test_private_networks_can_be_allowed_but_not_where_clouds_tell_credentials(url: str, allowed: bool):
    if allowed:
        await resolved(url, private=True)
    else:
        with pytest.raises(InputError):
            await resolved(url, private=True)


@given(st.sets(st.integers(1, 30)))
def test_page_numbers_are_written_and_read_again(numbers: set[int]):
    assert set(numbers_in(ranges(numbers))) == numbers


@pytest.mark.parametrize("told", ["11", "1-999999", ",".join(["1-999999"] * 4000), "0", "x", f"1-{' ' * 50_000}x"])
def test_no_page_number_is_read_that_there_cannot_be(told: str):
    with pytest.raises(InputError):
        numbers_in(told, 10)


def test_an_open_range_ends_at_the_last_page():
    assert numbers_in("8-", 10) == (8, 9, 10)


def test_page_numbers_are_written_short():
    assert ranges([1, 2, 3, 7]) == "1-3,7"


@pytest.mark.parametrize(
    ("address", "host", "code"),
    [
        *(("127.0.0.1", "localhost", 404), ("10.0.0.5", "10.0.0.5", 403), ("127.0.0.1", "evil", 403)),
        *(("127.0.0.1", "evil:80", 403), ("127.0.0.1", "[::1]", 404)),
    ],
)
async def test_without_a_token_only_this_machine_is_served(tmp_path: Path, address: str, host: str, code: int):
    app = create_app(Settings(), ApiSettings(directory=tmp_path))
    app.state.service = SimpleNamespace(
        api=ApiSettings(directory=tmp_path), runs=Runs(tmp_path, SimpleNamespace(), PATIENCE)
    )

    async def at_address(scope, receive, send) -> None:
        await app({**scope, "server": (address, 8000)}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(at_address), base_url="http://a") as client:
        assert (await client.get(f"/documents/{uuid4()}", headers={"Host": host})).status_code == code


def test_a_short_token_is_told_without_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("API_TOKEN", "qwertz")
    with pytest.raises(InputError, match="API_TOKEN") as raised:
        load_api_settings()
    assert "qwertz" not in str(raised.value)


DOCUMENTATION = (ROOT / "docs" / "api.md").read_text()


def test_the_documentation_lists_every_option_setting_and_route():
    paths = create_app(Settings(), ApiSettings()).openapi()["paths"]
    told = [f"API_{name.upper()}" for name in ApiSettings.model_fields]
    told += [parameter["name"] for parameter in parameters()] + [status.value for status in Status]
    told += [path.replace("{document}", "{id}").replace("{number}", "{n}") for path in paths]
    assert [each for each in told if f"`{each}`" not in DOCUMENTATION] == []


def test_the_curl_lines_of_the_documentation_lead_to_routes():
    lines = re.findall(r"^curl .*", DOCUMENTATION, flags=re.MULTILINE)
    paths = [re.search(r"\$API(/[\w/$]*)", line)[1].replace("$ID", "{document}") for line in lines]
    known = create_app(Settings(), ApiSettings()).openapi()["paths"]
    assert paths
    assert {re.sub(r"pages/\d+", "pages/{number}", path) for path in paths} <= set(known)


class Worker:
    """Stores pages as a run does, and stands for Prefect."""

    def __init__(self, directory: Path) -> None:
        self.began = datetime.now(UTC)
        self.state: State = Running()
        self.store = ResultStore(directory)
        self.store.prepare()
        record = Record(id=uuid4(), run=uuid4(), sha256="", pages="1-3", output=directory, created=self.began)
        self.run = Followed(record, self, PATIENCE)

    def page(self, number: int, status: PageStatus = PageStatus.READ, seconds: float = 1.0) -> None:
        self.store.write_page(
            PageResult(
                page=number,
                identity=f"{number} {status}",
                status=status,
                text="text",
                reason=FailureReason.EMPTY if status is PageStatus.FAILED else None,
                model="m",
                digest="d",
                finished_at=self.began + timedelta(seconds=seconds),
            )
        )

    async def read_flow_run(self, _):
        return SimpleNamespace(state=self.state)

    async def told(self, *sent: int) -> list[str]:
        """What a stream tells until the run ends, which it does now."""
        self.state = Completed()
        return [line async for line in events(self.run, sent, text=False)]


async def test_a_page_that_failed_in_an_earlier_run_is_not_told_while_it_is_read_again(tmp_path: Path):
    worker = Worker(tmp_path)
    worker.page(1, PageStatus.FAILED, seconds=-60)
    worker.page(2, PageStatus.FAILED)
    early = (await worker.run.view(Running()))["pages"]
    assert (early["done"], early["failed"]) == (1, [2])
    worker.page(1)
    assert (await worker.run.view(Completed()))["pages"]["failed"] == [2]


async def test_the_last_of_the_events_lists_all_pages_that_were_sent(tmp_path: Path):
    worker = Worker(tmp_path)
    for number in (1, 3):
        worker.page(number)
    retry, first, second, end = await worker.told()
    assert (retry, first.splitlines()[0]) == ("retry: 1000\n\n", "event: page")
    assert second.startswith('id: 1,3\nevent: page\ndata: {"page": 3, "status": "read"')
    assert end.startswith("id: end\nevent: end\n")


async def test_the_list_of_pages_that_were_sent_fits_into_a_header(tmp_path: Path):
    worker = Worker(tmp_path)
    numbers = range(1, 4000, 2)
    worker.run.numbers = frozenset(numbers)
    worker.run.pages = {n: Seen(n, PageStatus.READ, {"page": n}, worker.began) for n in numbers}
    worker.run.changes += 1
    *_, last, _ = await worker.told()
    listed = last.partition("id: ")[2].partition("\n")[0]
    assert len(listed) <= 4096
    assert set(numbers_in(listed)) < set(numbers)


async def test_what_the_client_has_is_not_sent_again(tmp_path: Path):
    worker = Worker(tmp_path)
    for number in (1, 2, 3):
        worker.page(number)
    (page, _) = (await worker.told(1, 3))[1:]
    assert page.startswith('id: 1-3\nevent: page\ndata: {"page": 2')


def test_a_run_of_an_earlier_version_is_known_by_the_id_that_prefect_gave_it(tmp_path: Path):
    run = uuid4()
    facts = {"id": str(run), "sha256": "", "pages": "1", "output": str(tmp_path), "created": "2026-01-01T00:00:00Z"}
    (tmp_path / f"{run}.json").write_text(json.dumps(facts))
    record = Runs(tmp_path, SimpleNamespace(), PATIENCE).follow(run).record
    assert (record.id, record.run) == (run, run)


def test_a_run_is_known_after_a_restart(tmp_path: Path):
    record = Record(id=uuid4(), run=uuid4(), sha256="", pages="1", output=tmp_path, created=datetime.now(UTC))
    Runs(tmp_path, SimpleNamespace(), PATIENCE).remember(record)
    assert Runs(tmp_path, SimpleNamespace(), PATIENCE).follow(record.id).record == record
    assert Runs(tmp_path, SimpleNamespace(), PATIENCE).follow(uuid4()) is None


class Prefect:
    """STAND-IN for Prefect's API: it answers as the test says, and as it should in the end."""

    def __init__(self, *statuses: int) -> None:
        self.asked = 0
        self.silent = asyncio.Event()
        self._statuses = list(statuses)

    async def answer(self) -> str:
        self.asked += 1
        if self._statuses:
            status = self._statuses.pop(0)
            if not status:
                await self.silent.wait()
            response = httpx.Response(status, request=httpx.Request("POST", "http://prefect"))
            raise PrefectHTTPStatusError.from_httpx_error(
                httpx.HTTPStatusError(f"HTTP {status}", request=response.request, response=response)
            )
        return "the answer"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.api.prefect_state._AGAIN_SECONDS", 0.001)


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
async def test_prefect_is_asked_again_while_a_trouble_may_pass(at_once: None, status: int):
    prefect = Prefect(status, status, status)
    assert await answer_of_prefect(prefect.answer, PATIENCE) == "the answer"
    assert prefect.asked == 4


async def test_prefect_is_asked_again_when_a_connection_breaks(at_once: None):
    broken = iter([httpx.ConnectError("refused"), httpx.ReadError("reset")])

    async def ask() -> str:
        for error in broken:
            raise error
        return "the answer"

    assert await answer_of_prefect(ask, PATIENCE) == "the answer"


async def test_what_prefect_refuses_is_not_asked_again(at_once: None):
    prefect = Prefect(401)
    with pytest.raises(ServerError, match="Prefect does not answer"):
        await answer_of_prefect(prefect.answer, PATIENCE)
    assert prefect.asked == 1


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_what_prefect_refuses_for_itself_is_told_from_a_server_that_is_out_of_order(at_once: None, status: int):
    with pytest.raises(RefusedError, match=f"HTTP {status}"):
        await answer_of_prefect(Prefect(status).answer, PATIENCE)


@pytest.mark.parametrize("status", [503, 0], ids=["always busy", "silent"])
async def test_a_trouble_of_prefects_that_does_not_pass_is_told_at_the_limit(at_once: None, status: int):
    with pytest.raises(ServerError, match="Prefect does not answer"):
        await answer_of_prefect(Prefect(*[status] * 10_000).answer, 0.05)


async def test_pages_go_on_in_a_stream_while_prefect_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("flows.api.sse._PREFECT_SECONDS", 0.01)
    worker = Worker(tmp_path)
    silent = asyncio.Event()

    async def no_answer(_: object) -> None:
        await silent.wait()

    monkeypatch.setattr(worker, "read_flow_run", no_answer)
    stream = events(worker.run, (), text=False)
    assert await anext(stream) == "retry: 1000\n\n"
    for number in (1, 2):
        worker.page(number)
        assert f'"page": {number}' in await anext(stream)
    await stream.aclose()

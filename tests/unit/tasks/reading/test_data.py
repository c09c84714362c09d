"""Pages that are read as data: what is sent, what is accepted, and what is tried again, with what was wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import FailureReason, PageError
from tasks.core.jobs import Fallback
from tasks.core.json_schema import schema_text
from tasks.inference.schema import Answer, GenerateRequest
from tasks.reading.data import DataReader
from tasks.results.page import PageStatus
from tests.support import pdfs
from tests.support.ollama.scripted import ScriptedOllama, reads
from tests.support.ollama.wire import MODEL
from tests.unit.tasks.reading.page_reading import GENERAL, Reading, opened

SCHEMA = schema_text(
    {
        "type": "object",
        "properties": {"total": {"type": "number"}, "lines": {"type": "array", "items": {"type": "object"}}},
        "required": ["total"],
    }
)
REQUEST = GenerateRequest(MODEL, 8192, 4096, 60, schema=SCHEMA)
GOOD = '{"total": 12.5}'


@pytest.fixture
async def reading(server: ScriptedOllama, tmp_path: Path) -> AsyncIterator[Reading]:
    async with opened(server, pdfs.written(tmp_path / "paper.pdf", "one", "two"), schema=SCHEMA) as reading:
        yield reading


def data_of(text: str, **fields: Any) -> Any:
    return DataReader(SCHEMA).read(Answer(response=text, done=True, done_reason="stop", **fields), REQUEST)[0]


# What is accepted


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\n{GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"Here is the data:\n\n```json\n{GOOD}\n```\nLet me know if you need more.",
        f"<think>It is an invoice.</think>{GOOD}",
    ],
    ids=["plain", "with blanks", "in a fence", "in a plain fence", "with words around", "with thinking"],
)
def test_json_is_found_in_what_models_put_around_it(text: str):
    assert data_of(text) == {"total": 12.5}


def test_a_fence_within_a_text_of_the_data_is_data():
    assert data_of('{"total": 1, "code": "```\\nx\\n```"}')["code"] == "```\nx\n```"


def test_equal_rows_are_data_and_no_loop():
    rows = [{"text": "Shipping and handling", "price": 0}] * 40
    assert data_of(json.dumps({"total": 0, "lines": rows}))["lines"] == rows


def test_the_text_of_a_page_is_its_data_in_a_fence():
    answer = Answer(response='{"total":1,"name":"Grüße ``` <!--"}', done=True, done_reason="stop")
    data, page = DataReader(SCHEMA).read(answer, REQUEST)
    first, *lines, last = page.text.splitlines()
    assert (first, last) == ("```json", "```")
    assert json.loads("\n".join(lines)) == data
    assert not any(line.startswith("```") for line in lines)


@pytest.mark.parametrize(
    ("text", "reason", "why"),
    [
        ("The total is 12.5.", FailureReason.INVALID, "The answer is not usable JSON: it is not JSON"),
        ("", FailureReason.INVALID, "not JSON"),
        ('{"total": 1', FailureReason.INVALID, "not JSON"),
        (f"```\n{GOOD}\n```\n\n```\n{GOOD}\n```", FailureReason.INVALID, "not JSON"),
        ('{"total": 1, "total": 2}', FailureReason.INVALID, "the same name twice"),
        ('{"total": NaN}', FailureReason.INVALID, "NaN is not a number"),
        ('{"total": 1e999}', FailureReason.INVALID, "a number is too large"),
        ('{"total": 1, "name": "\\udc00"}', FailureReason.INVALID, "half of a character"),
        ('{"total": ' + "[" * 200 + "]" * 200 + "}", FailureReason.INVALID, "nested more than 100 levels"),
        ("[" * 100_000, FailureReason.INVALID, "nested too deeply"),
        ('{"total": "12.5"}', FailureReason.INVALID, r"does not follow the schema: \$\.total is not of type number"),
        ("I'm sorry, I cannot read this image.", FailureReason.DECLINED, "cannot read the page"),
    ],
)
def test_what_is_no_data_is_refused_with_its_reason(text: str, reason: FailureReason, why: str):
    with pytest.raises(PageError, match=why) as raised:
        data_of(text)
    assert (raised.value.reason, raised.value.final) == (reason, False)


def test_an_answer_that_was_cut_off_has_failed_although_it_is_valid():
    """Of a list, the rest is missing."""
    answer = Answer(response=GOOD, done=True, done_reason="length", eval_count=4096)
    with pytest.raises(PageError, match="cut off after 4096 tokens; raise --num-predict") as raised:
        DataReader(SCHEMA).read(answer, REQUEST)
    assert raised.value.reason is FailureReason.TRUNCATED


def test_an_answer_that_the_server_broke_off_has_failed():
    with pytest.raises(PageError, match="broke the answer off"):
        DataReader(SCHEMA).read(Answer(response=GOOD, done=False), REQUEST)


# What is sent, and what is stored


async def test_the_server_is_sent_the_schema_and_the_model_is_shown_it(server: ScriptedOllama, reading: Reading):
    server.answers("/api/generate", reads(GOOD))
    await reading.reader.read(1, 1)
    (body,) = server.asked("/api/generate")
    assert body["format"] == json.loads(SCHEMA)
    assert body["prompt"].endswith(SCHEMA)
    result = reading.store.page(1)
    assert result is not None
    assert (result.status, result.data, result.text) == (
        PageStatus.READ,
        {"total": 12.5},
        '```json\n{\n  "total": 12.5\n}\n```',
    )


async def test_a_stream_of_equal_rows_is_read_to_its_end(server: ScriptedOllama, reading: Reading):
    rows = json.dumps({"total": 0, "lines": [{"text": "Shipping and handling", "price": 0}] * 100})
    server.answers("/api/generate", reads(rows))
    await reading.reader.read(1, 1)
    result = reading.store.page(1)
    assert result is not None
    assert result.data == json.loads(rows)


async def test_what_was_wrong_is_told_to_the_model_and_to_nobody_elses_page(server: ScriptedOllama, reading: Reading):
    server.answers("/api/generate", reads('{"total": "12.5"}'), reads("12.5"), reads(GOOD), reads(GOOD))
    await reading.fails(1, 1)
    await reading.fails(1, 2)
    await reading.reader.read(1, 3)
    await reading.reader.read(2, 1)
    first, second, third, other = (body["prompt"] for body in server.asked("/api/generate"))
    assert other == first
    assert second.startswith(first)
    assert "An earlier answer was refused." in second
    assert "$.total is not of type number" in second
    assert "$ is not of type object" in third
    assert "$.total" not in third


async def test_what_is_told_is_bounded_and_holds_nothing_of_the_page(server: ScriptedOllama, reading: Reading):
    server.answers("/api/generate", reads(json.dumps({"total": "secret", "lines": ["secret"] * 500})))
    error = await reading.fails(1, 1)
    await reading.fails(1, 2)
    first, second = (body["prompt"] for body in server.asked("/api/generate"))
    assert len(second) - len(first) < 1000
    assert "secret" not in second + str(error)


async def test_a_page_that_never_follows_the_schema_has_failed_with_why(server: ScriptedOllama, reading: Reading):
    server.answers("/api/generate", reads('{"total": "12.5"}'))
    errors = [await reading.fails(1, attempt) for attempt in (1, 2, 3)]
    result = reading.store.page(1)
    assert result is not None
    assert (errors[-1].final, result.status, result.reason, result.data, result.text) == (
        True,
        PageStatus.FAILED,
        FailureReason.INVALID,
        None,
        "",
    )
    assert result.detail == "The answer does not follow the schema: $.total is not of type number."
    assert [attempt.reason for attempt in result.attempts] == [FailureReason.INVALID] * 3


async def test_the_last_answer_of_a_failed_page_can_be_kept_as_text_but_never_as_data(
    server: ScriptedOllama, tmp_path: Path
):
    server.answers("/api/generate", reads('{"total": "12.5"}'))
    path = pdfs.written(tmp_path / "paper.pdf", "one", "two")
    async with opened(server, path, attempts=1, fallback=Fallback.PARTIAL, schema=SCHEMA) as reading:
        await reading.fails(1, 1)
        result = reading.store.page(1)
    assert result is not None
    assert (result.text, result.data) == ('{"total": "12.5"}', None)


async def test_a_page_too_long_for_one_image_is_one_request_with_all_its_strips(server: ScriptedOllama, tmp_path: Path):
    """The data of strips could not be put together."""
    server.answers("/api/generate", reads(GOOD))
    path = pdfs.framed(tmp_path / "receipt.pdf", (100, 1200))
    async with opened(server, path, schema=SCHEMA) as reading:
        await reading.reader.read(1, 1)
        result = reading.store.page(1)
    (body,) = server.asked("/api/generate")
    assert len(body["images"]) > 1
    assert f"The page comes as {len(body['images'])} overlapping images" in body["prompt"]
    assert result is not None
    assert result.data == {"total": 12.5}


async def test_stop_texts_of_the_models_own_answers_do_not_end_data(server: ScriptedOllama, tmp_path: Path):
    server.answers("/api/generate", reads(GOOD))
    profile = GENERAL.model_copy(update={"stop": ("```",)})
    path = pdfs.written(tmp_path / "paper.pdf", "one", "two")
    async with opened(server, path, profile=profile, schema=SCHEMA) as reading:
        await reading.reader.read(1, 1)
    assert "stop" not in server.asked("/api/generate")[0]["options"]

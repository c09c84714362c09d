"""How answers come: in lines, in one piece, in pieces of a line, and what is none of that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import HearthError, PageError, TransientError
from tasks.inference.json_values import json_values
from tasks.inference.schema import Answer, GenerateRequest
from tasks.ollama.client import OllamaClient
from tasks.ollama.stream import most_bytes
from tests.support.cases import cases_or_skip
from tests.support.ollama.scripted import Say, ScriptedOllama, piece, reads, streams
from tests.support.ollama.wire import MODEL
from tests.support.waiting import PATIENCE

RECORDED = Path(__file__).resolve().parents[5] / "shared" / "ollama" / "answers.jsonl"
REQUEST = GenerateRequest(MODEL, num_ctx=8192, num_predict=4096, keep_alive=600)
# As Ollama 0.33 answered.
BROKEN_OFF = (
    b'{"model":"rep","created_at":"2026-11-30T00:44:13.924926601Z","response":" the0 quick1%b","done":false}'
    % (b" jumps19" * 31)
)
LAST = (
    b'{"model":"chain","created_at":"2026-11-30T00:44:08.26116984Z","response":"","done":true,"done_reason":"length",'
    b'"context":[229,153],"total_duration":24815094,"load_duration":1482428,"prompt_eval_count":109,'
    b'"prompt_eval_duration":750000,"eval_count":50,"eval_duration":16465000}\n'
)


async def asked(server: ScriptedOllama, say: Say) -> Answer:
    server.answers("/api/generate", say)
    async with OllamaClient(server.url, timeout=PATIENCE) as client:
        return await client.generate(REQUEST, "Read.", (b"PNG",))


FORMS = {
    "streamed": streams(piece(" the0"), piece(" quick1"), LAST),
    "streamed in one chunk": streams(piece(" the0") + piece(" quick1") + LAST),
    "streamed in halves": streams(
        piece(" the0")[:20], piece(" the0")[20:] + piece(" quick1")[:9], piece(" quick1")[9:] + LAST
    ),
    "without the last end of line": streams(piece(" the0"), piece(" quick1") + LAST.rstrip()),
    "with empty lines": streams(b"\n\n" + piece(" the0") + b"\r\n" + piece(" quick1") + b"\n", LAST),
    "in one piece": Say(LAST.replace(b'"response":""', b'"response":" the0 quick1"')),
    "over several lines": Say(json.dumps(json.loads(LAST) | {"response": " the0 quick1"}, indent=2).encode()),
    "behind a byte order mark": Say(b"\xef\xbb\xbf" + piece(" the0 quick1") + LAST),
}


@pytest.mark.parametrize("say", FORMS.values(), ids=FORMS)
async def test_every_form_of_an_answer_is_the_same_answer(server, say):
    answer = await asked(server, say)
    assert (answer.response, answer.done, answer.done_reason) == (" the0 quick1", True, "length")
    assert (answer.prompt_eval_count, answer.eval_count, answer.timing.eval) == (109, 50, 0.016465)


@pytest.mark.parametrize(
    "say",
    [Say(BROKEN_OFF), streams(piece(" the0"), *[piece(" jumps19")] * 31), streams(piece("Hel"), piece("lo."))],
    ids=["in one piece", "streamed", "short"],
)
async def test_an_answer_without_an_end_is_returned_as_far_as_it_came(server, say):
    answer = await asked(server, say)
    assert not answer.done
    assert answer.response


@pytest.mark.parametrize(
    "say",
    [
        streams(),
        streams(piece("")),
        streams(piece("one"), b'{"response": "tw'),
        streams(piece("one"), b"<html>"),
        streams(piece("one"), b'{"error": "llama runner process has terminated"}\n'),
        streams(piece("one"), b"[]\n"),
        Say(piece("one") + b'{"response": "tw', cut=True),
    ],
)
async def test_a_stream_that_breaks_is_a_transient_error(server, say):
    with pytest.raises(TransientError):
        await asked(server, say)


async def test_data_after_the_end_are_not_read(server):
    assert (await asked(server, streams(piece("one"), reads("").content + b"\n", piece("two")))).response == "one"


async def test_a_character_in_two_pieces_is_one(server):
    answer = await asked(server, streams(piece("\ud83d"), piece("\ude00"), LAST))
    assert answer.response == "\N{GRINNING FACE}"


async def test_undecodable_bytes_are_replaced(server):
    assert (await asked(server, streams(b'{"response": "a\xffb", "done": false}\n', LAST))).response == "a\ufffdb"


async def test_null_counts_as_an_empty_text(server):
    assert (await asked(server, reads(None))).response == ""


async def test_thinking_is_counted_and_left_out_of_the_text(server):
    say = streams(b'{"thinking": "Hm, a page", "done": false}\n', piece("one", thinking="."), LAST)
    answer = await asked(server, say)
    assert (answer.response, answer.thought) == ("one", 11)


async def test_thinking_in_a_loop_is_cut_off(server):
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield piece("", thinking="Wait, no. ")
            await asyncio.sleep(0)

    answer = await asked(server, Say(b"", chunks=endless))
    assert not answer.done


async def test_thinking_is_turned_off_for_a_model_that_can_think(server):
    async with OllamaClient(server.url) as client:
        await client.generate(REQUEST, "Read.")
        await client.generate(GenerateRequest(MODEL, 8192, 4096, 600, thinks=True), "Read.")
    assert [body.get("think") for body in server.asked("/api/generate")] == [None, False]


# The way there


async def values(body: list[bytes], most: int = 10**6, *, each: bool = False) -> list[dict[str, Any]]:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in body:
            yield chunk

    return [value async for value in json_values(chunks(), most, each=each)]


objects = st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=9), max_size=3), max_size=5)


@given(objects, st.lists(st.integers(0, 400), max_size=6))
async def test_objects_are_the_same_wherever_the_body_is_cut(sent, cuts):
    body = b"".join(json.dumps(value).encode() + b"\n" for value in sent)
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    assert await values([body[start:end] for start, end in pairwise(places)]) == sent


async def test_a_body_is_bounded_as_a_whole_and_a_download_line_by_line():
    body = [b'{"status": "pulling"}\n'] * 100
    assert len(await values(body, 50, each=True)) == 100
    with pytest.raises(PageError, match="longer than"):
        await values(body, 50)
    with pytest.raises(PageError, match="longer than"):
        await values([b"x" * 20] * 9, 50, each=True)


def test_the_longest_valid_answer_is_accepted():
    """A line of Ollama's takes 130 bytes beside its token, and the last one lists the context's tokens."""
    assert most_bytes(4096) > 4096 * (130 + 6 * 20) + 8 * 131_072


# As it was recorded


def recorded() -> list[dict[str, Any]]:
    lines = RECORDED.read_text().splitlines() if RECORDED.exists() else []
    return [each for each in map(json.loads, lines) if each["path"] == "/api/generate" and each["lines"]]


@pytest.mark.parametrize("each", cases_or_skip(recorded(), lambda each: each["case"], RECORDED))
async def test_every_recorded_answer_is_an_answer_or_an_error_of_ours(server, each):
    body = "".join(f"{line}\n" for line in each["lines"] if line != "...").encode()
    last = json.loads(each["lines"][-1]) if each["lines"][-1].startswith("{") else {}
    try:
        answer = await asked(server, Say(body, each["status"]))
    except HearthError:
        assert each["status"] >= 400
        return
    assert each["status"] == 200
    assert answer.done == last["done"]
    assert answer.eval_count == last.get("eval_count", answer.eval_count)

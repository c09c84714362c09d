"""Server-sent events taken apart."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import PageError
from tasks.openai.stream import sse_values


def values(*chunks: bytes, most: int = 10_000) -> list[dict[str, object]]:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def collect() -> list[dict[str, object]]:
        return [value async for value in sse_values(body(), most)]

    return asyncio.run(collect())


STREAM = b'data: {"a": 1}\n\ndata: {"b": "\xc3\xa9"}\n\ndata: [DONE]\n\n'


DONE = {"done": True}


def test_each_event_is_one_object_and_the_mark_of_the_end_is_one_too():
    assert values(STREAM) == [{"a": 1}, {"b": "é"}, DONE]


def test_nothing_is_read_after_the_mark_of_the_end():
    assert values(STREAM, b"data: {broken\n\n") == [{"a": 1}, {"b": "é"}, DONE]


def test_a_long_line_in_many_chunks_is_put_together_once():
    text = "x" * 2_000_000
    body = b'data: {"a": "' + text.encode() + b'"}\n\n'
    chunks = [body[at : at + 50] for at in range(0, len(body), 50)]
    assert values(*chunks, most=10_000_000) == [{"a": text}]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_it_does_not_matter_how_the_body_is_cut(places):
    cuts = [0, *sorted(places), len(STREAM)]
    chunks = [STREAM[start:end] for start, end in itertools.pairwise(cuts)]
    assert values(*chunks) == [{"a": 1}, {"b": "é"}, DONE]


@pytest.mark.parametrize(
    "body",
    [
        b': keep-alive\n\nevent: x\nid: 1\nretry: 5\ndata: {"a": 1}\n\n',
        b'data:{"a": 1}\r\n\r\n',
        b'\xef\xbb\xbfdata: {"a": 1}\n\n',
        b'data: {"a": 1}\n\nunheard-of: x\n\n',
        b'data: {"a":\ndata: 1}\n\n',
        b'data: {"a": 1}',
        b'{"a": 1}',
        b'{\n  "a": 1\n}\n',
    ],
    ids=[
        "other fields",
        "CRLF",
        "byte order mark",
        "unknown field",
        "several lines",
        "cut at the end",
        "no stream",
        "no stream, over several lines",
    ],
)
def test_what_servers_make_of_the_format_is_understood(body):
    assert values(body) == [{"a": 1}]


@pytest.mark.parametrize("body", [b"data: {\n\n", b"<html>", b"data: 5\n\n", b"data: " + b"[" * 100_000 + b"\n\n"])
def test_what_is_no_json_is_an_error(body):
    with pytest.raises(ValueError):  # noqa: PT011  it may be without words
        values(body, most=1_000_000)


def test_a_body_without_end_is_refused():
    with pytest.raises(PageError, match="longer than"):
        values(b"data: " + b"x" * 900, b"y" * 200, most=1000)


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=5))
def test_any_objects_arrive_as_they_were_sent(objects):
    body = b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in objects)
    assert values(body) == objects

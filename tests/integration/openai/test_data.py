"""Pages read as data by a real llama-server, whose grammar has a model without any meaning write what a schema asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import FailureReason, PageError
from tasks.core.json_schema import checker_of, schema_text
from tasks.inference.schema import Answer, GenerateRequest
from tasks.openai.client import OpenAIClient
from tasks.reading.data import DataReader
from tasks.serving.probe_image import probe_image
from tests.support import pdfs
from tests.support.commands import Hearth
from tests.support.llama_server import LlamaServer, llama_server

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["invoice", "letter"]},
        "date": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"},
        "title": {"type": "string", "maxLength": 20},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "minItems": 2, "maxItems": 2},
    },
    "required": ["kind", "date", "title", "lines"],
    "additionalProperties": False,
    "$defs": {
        "line": {
            "type": "object",
            "properties": {"paid": {"type": "boolean"}},
            "required": ["paid"],
            "additionalProperties": False,
        }
    },
}
IMPOSSIBLE = {"type": "array", "items": {"const": 2}, "minItems": 2, "maxItems": 2, "uniqueItems": True}
"""What the grammar allows, [2, 2], does not follow it: llama-server does not know uniqueItems."""
ANCHORED = {"$ref": "#a", "$defs": {"one": {"$anchor": "a", "type": "null"}}}
"""A valid schema that llama-server refuses."""
ENOUGH = GenerateRequest("chain", 4096, 400, 60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    with llama_server(tmp_path_factory.mktemp("llama") / "log") as running:
        yield running


@pytest.fixture
def command(hearth: Hearth, server: LlamaServer, tmp_path: Path) -> Hearth:
    own = {"HEARTH_HOME": str(tmp_path / "home"), "HEARTH_URL": server.url, "HEARTH_MODEL": "chain"}
    return Hearth(
        tmp_path, hearth.environment | own | {"HEARTH_READ__NUM_CTX": "4096", "HEARTH_READ__NUM_PREDICT": "400"}
    )


def answer_of(server: LlamaServer, schema: object, temperature: float = 0.0) -> Answer:
    async def ask() -> Answer:
        request = replace(ENOUGH, schema=schema_text(schema)) if schema else ENOUGH
        async with OpenAIClient(server.url) as client:
            return await client.generate(request, "Answer.", (probe_image(),), temperature)

    return asyncio.run(ask())


def written(path: Path, schema: object) -> Path:
    path.write_text(json.dumps(schema))
    return path


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_grammar_has_any_model_write_data_that_follow_the_schema(server: LlamaServer, temperature: float):
    assert answer_of(server, None).response.startswith(" the0 quick1")
    answer = answer_of(server, SCHEMA, temperature)
    assert (answer.done, answer.done_reason) == (True, "stop")
    assert checker_of(schema_text(SCHEMA)).problems(json.loads(answer.response)) == []


def test_data_follow_the_order_of_the_schemas_names(server: LlamaServer):
    assert list(json.loads(answer_of(server, SCHEMA).response)) == list(SCHEMA["properties"])


def test_what_the_grammar_does_not_enforce_is_found_by_the_check(server: LlamaServer):
    text = schema_text(IMPOSSIBLE)
    answer = answer_of(server, IMPOSSIBLE)
    assert json.loads(answer.response) == [2, 2]
    with pytest.raises(PageError, match=r"\$ does not meet uniqueItems true") as raised:
        DataReader(text).read(answer, replace(ENOUGH, schema=text))
    assert raised.value.reason is FailureReason.INVALID


def test_data_that_do_not_end_are_cut_off_and_have_failed(server: LlamaServer):
    endless = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    answer = answer_of(server, endless)
    with pytest.raises(PageError) as raised:
        DataReader(schema_text(endless)).read(answer, ENOUGH)
    assert raised.value.reason in {FailureReason.TRUNCATED, FailureReason.REPETITION}


def test_a_schema_that_the_server_does_not_know_is_a_lasting_refusal_with_its_words(server: LlamaServer):
    with pytest.raises(PageError, match=r"unsupported \$ref #a") as raised:
        answer_of(server, ANCHORED)
    assert raised.value.final


def test_pages_are_read_as_data(command: Hearth, tmp_path: Path):
    document = pdfs.written(tmp_path / "invoice.pdf", "One", "Two")
    done = command.read(document, "--schema", written(tmp_path / "invoice.json", SCHEMA))
    assert done.code == 0, done.err
    check = checker_of(schema_text(SCHEMA))
    lines = [json.loads(line) for line in Path(done.json["data"]).read_text().splitlines()]
    assert [(line["page"], line["status"]) for line in lines] == [(1, "read"), (2, "read")]
    for line in lines:
        assert check.problems(line["data"]) == []
        stored = done.page(line["page"])
        assert stored["data"] == line["data"]
        assert json.loads(stored["text"].removeprefix("```json\n").removesuffix("\n```")) == line["data"]
    assert json.loads(done.manifest["request"]["json_schema"]) == SCHEMA
    assert done.document.count("```json\n") == 2


@pytest.mark.long("five runs: 25 s")
def test_data_are_read_again_if_their_schema_changes_and_else_never(command: Hearth, tmp_path: Path):
    document = pdfs.written(tmp_path / "invoice.pdf", "One")
    schema = written(tmp_path / "invoice.json", SCHEMA)
    first = command.read(document, "--schema", schema)
    schema.write_text(json.dumps(SCHEMA, indent=2, sort_keys=True))
    again = command.read(document, "--schema", schema)
    assert (first.json["read_now"], again.json["read_now"]) == (1, 0), again.err
    (first.directory / "data.jsonl").unlink()
    assert command.read(document, "--schema", schema).code == 0
    assert json.loads((first.directory / "data.jsonl").read_text())["data"] == first.page(1)["data"]
    other = command.read(document, "--schema", written(tmp_path / "other.json", {"enum": [1, 2]}))
    assert other.json["read_now"] == 1
    assert json.loads((first.directory / "data.jsonl").read_text())["data"] in {1, 2}
    text = command.read(document)
    assert text.page(1)["text"].startswith("the0 quick1")
    assert (first.directory / "data.jsonl").read_text() == ""
    assert "data" not in text.json


@pytest.mark.long("two attempts at a page: 6 s")
def test_a_page_that_never_follows_the_schema_is_a_failed_page_with_why(command: Hearth, tmp_path: Path):
    document = pdfs.written(tmp_path / "page.pdf", "One")
    schema = written(tmp_path / "impossible.json", IMPOSSIBLE)
    done = command.read(document, "--schema", schema, "--attempts", "2")
    assert done.code == 3, done.err
    stored = json.loads(next(tmp_path.glob("results/page-*/pages/0001.json")).read_text())
    assert (stored["status"], stored["reason"], len(stored["attempts"])) == ("failed", "invalid", 2)
    (line,) = (json.loads(line) for line in next(tmp_path.glob("results/page-*/data.jsonl")).read_text().splitlines())
    assert line == {"page": 1, "status": "failed", "data": None, "reason": "invalid"}


@pytest.mark.long("a run: 6 s")
def test_a_schema_that_the_server_refuses_ends_the_run_before_its_first_page(command: Hearth, tmp_path: Path):
    document = pdfs.written(tmp_path / "page.pdf", "One")
    done = command.read(document, "--schema", written(tmp_path / "anchored.json", ANCHORED))
    assert done.code == 1
    assert "does not accept the JSON Schema." in done.err
    assert "unsupported $ref #a" in done.err
    assert not list(tmp_path.glob("results/page-*/pages/*.json"))


@pytest.mark.long("three batches: 20 s")
def test_a_batch_reads_data_and_reads_anew_what_another_schema_asks_for(command: Hearth, tmp_path: Path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    pdfs.written(inbox / "a.pdf", "One")
    pdfs.written(inbox / "b.pdf", "Two")

    def rows(schema: Path) -> list[dict[str, Any]]:
        done = command("batch", inbox, "--schema", schema, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)["rows"]

    schema, other = written(tmp_path / "one.json", SCHEMA), written(tmp_path / "other.json", {"enum": [1]})
    first, again, anew = rows(schema), rows(schema), rows(other)
    assert [row["status"] for row in first + again + anew] == ["read"] * 2 + ["unchanged"] * 2 + ["read"] * 2
    assert [row["data"] for row in again] == [row["data"] for row in first]
    for row in anew:
        assert json.loads(Path(row["data"]).read_text()) == {"page": 1, "status": "read", "data": 1}

"""The answers of a real Ollama, reduced to the facts that another server must reproduce.

A fact is a request and the form of its answer: status, the headers that a client acts on, the texts of errors, and the
keys of JSON with the types of their values. `ollama_facts.json` beside this file holds them; where the recorded
answers that they were taken from are at hand, `python -m tests.integration.embedded.ollama_facts` writes it anew.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
RECORDED = ROOT.parent / "shared" / "ollama" / "answers.jsonl"
FACTS = Path(__file__).with_suffix(".json")

HEADERS = re.compile(r"content-type|allow|location|vary|access-control-.*")
MODELS_OWN = ("model_info", "projector_info")
"""Objects whose keys are those of a model's file, not of the API."""

CUT = "cut"
"""The form of a line whose end was not recorded."""

Fact = dict[str, Any]


def fact(record: dict[str, Any]) -> Fact:
    """Reduce a recorded answer to a fact."""
    asked = {name: record[name] for name in ("case", "method", "path", "body", "raw", "headers") if record[name]}
    if record["body"] == {}:
        asked["body"] = {}
    answer = {"status": record["status"], "headers": headers_of(record["answer_headers"])}
    return asked | {"answer": answer | {"lines": forms(record["lines"], "chain(:latest)?")}}


def headers_of(headers: Any) -> dict[str, str]:
    """Give the headers that a client acts on."""
    return {name.lower(): value for name, value in sorted(headers.items()) if HEADERS.fullmatch(name.lower())}


def forms(lines: list[str], model: str) -> list[Any]:
    """Give the forms of an answer's lines, those that repeat the one before left out.

    Args:
        lines: of the answer's body.
        model: a pattern of the model's name, which errors mention.
    """
    found: list[Any] = []
    for line in lines:
        if line not in {"", "..."} and (shape := _line(line, model)) not in found[-1:]:
            found.append(shape)
    return found


def facts() -> list[Fact]:
    """Give all facts: those of the recorded answers where they are at hand."""
    if not RECORDED.exists():
        return json.loads(FACTS.read_text())  # type: ignore[no-any-return]
    return [fact(json.loads(line)) for line in RECORDED.read_text().splitlines()]


def _line(line: str, model: str) -> Any:
    line = line.removeprefix("data: ")
    if not line.startswith("{"):
        return line
    for whole in (line, f"{line.rpartition('},{')[0]}}}]}}"):  # a long list was cut where it was recorded
        with suppress(ValueError):
            return form(json.loads(whole), model)
    return CUT


def form(value: Any, model: str) -> Any:
    """Reduce JSON to its keys and the types of its values, and to the texts of its errors."""
    if isinstance(value, dict):
        return {key: _text_or_form(key, each, model) for key, each in value.items()}
    if isinstance(value, list):
        return ["number"] if value == ["..."] else [form(each, model) for each in value[:1]]
    kinds = {str: "string", bool: "bool", int: "number", float: "number", type(None): "null"}
    return kinds[type(value)]


def _text_or_form(key: str, value: Any, model: str) -> Any:
    if key in {"error", "message"} and isinstance(value, str):
        text = re.sub(rf"\b{model}(?=[\s\"])", "<model>", value)
        text = re.sub(r"open /\S+:", "open <path>:", text)
        return re.sub(r"\d{4,}", "<number>", text)
    if key in MODELS_OWN:
        return "object" if isinstance(value, dict) else form(value, model)
    return form(value, model)


if __name__ == "__main__":
    one_a_line = ",\n".join(json.dumps(each, separators=(",", ":")) for each in facts())
    FACTS.write_text(f"[\n{one_a_line}\n]\n")

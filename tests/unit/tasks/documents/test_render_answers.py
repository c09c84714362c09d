"""Validation of the sandboxed process's responses."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.documents import render_process
from tasks.documents.answers import Facts, Refused
from tasks.documents.document_file import DocumentFile
from tasks.documents.png import encoded
from tasks.documents.render_process import RenderProcess
from tasks.documents.sandboxed_process import CrashedError
from tasks.settings.reading import LimitSettings
from tests.support.waiting import PATIENCE

LIMITS = LimitSettings()
ANSWERS = """
import json, socket, struct, sys

def message():
    (size,) = struct.unpack(">I", channel.recv(4, socket.MSG_WAITALL))
    return channel.recv(size, socket.MSG_WAITALL)

channel = socket.socket(fileno=int(sys.argv[2]))
for answer in json.loads(sys.argv[1]):
    message()
    channel.sendall(bytes.fromhex(answer))
channel.recv(1)
"""
CONFINED = {"landlock": 7, "seccomp": True}
FACTS = {"pages": 1, "declared": 1, "repaired": False, "portfolio": False, "files": [], "more_files": 0}
IMAGE = {"size": 1, "width": 10, "height": 10, "ink": 0.5, "clean": True, "overlap": 0.0}
UPRIGHT = {"turned": 0, "by_text": False, "straightened": 0.0, "turns": []}
PAGE = {"dpi": 72.0, "width": 10, "height": 10, "images": [IMAGE], "flags": [], **UPRIGHT}


def sent(message: dict[str, Any] | bytes, *, length: int | None = None) -> bytes:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">I", len(data) if length is None else length) + data


def answering(monkeypatch: pytest.MonkeyPatch, *answers: bytes) -> None:
    """Replace the process by a compromised one that sends these responses."""
    scripted = json.dumps([answer.hex() for answer in (sent(CONFINED), *answers)])
    monkeypatch.setattr(render_process, "COMMAND", (sys.executable, "-S", "-c", ANSWERS, scripted))


@pytest.mark.parametrize(
    "answer",
    [
        sent(b"", length=2**31),
        sent(b"nonsense"),
        sent(b"[" * 20_000),
        sent({}),
        sent({**FACTS, "pages": -1}),
        sent({**FACTS, "pages": "1"}),
        sent({**FACTS, "files": ["x" * 101]}),
        sent({**FACTS, "files": ["a\x1b]0;b"]}),
        sent({**FACTS, "files": ["x"] * 21}),
        sent({**FACTS, "more": 1}),
        sent({"refused": "Now run this", "detail": "", "memory_mb": 1}),
    ],
)
async def test_an_invalid_response_about_a_document_ends_the_process(monkeypatch, answer):
    answering(monkeypatch, answer)
    before = psutil.Process().children()
    process = RenderProcess()
    with DocumentFile.at(Path(__file__), LIMITS) as file, pytest.raises(CrashedError):
        await process.open(file)
    assert psutil.Process().children() == before


def image(png: bytes, **facts: Any) -> bytes:
    return sent({**PAGE, "images": [{**IMAGE, "size": len(png), **facts}]}) + png


WHITE = encoded(b"\xff" * 100, 10, 10, 1)


@pytest.mark.parametrize(
    "answer",
    [
        image(WHITE, width=11),
        image(WHITE, ink=2.0),
        image(WHITE, width=60_000, height=60_000),
        image(WHITE, size=2**29),
        image(WHITE[:-1]),
        image(WHITE + b"\0"),
        image(b"GIF89a" + bytes(40)),
        image(encoded(b"\xff" * 300, 10, 10, 3)[:-12] + WHITE[-12:], height=11),
        sent({**PAGE, "images": [IMAGE] * 129}),
        sent({**PAGE, "dpi": 1e999}),
        sent({**PAGE, "flags": [["damaged", "a\nb"]]}),
        sent({**PAGE, "flags": [["files\n", "a"]]}),
        sent({**PAGE, "turned": 45}),
        sent({**PAGE, "straightened": 90.0}),
        sent({**PAGE, "turns": [90] * 4}),
    ],
)
async def test_an_invalid_response_about_a_page_ends_the_process(monkeypatch, answer):
    answering(monkeypatch, sent(FACTS), answer)
    before = psutil.Process().children()
    process = RenderProcess()
    with DocumentFile.at(Path(__file__), LIMITS) as file, pytest.raises(CrashedError):
        await process.page(file, 1, 100, {})
    assert psutil.Process().children() == before


async def test_a_process_with_only_a_part_of_the_processor_is_awaited(monkeypatch):
    """A busy machine makes no document hostile."""
    monkeypatch.setattr(render_process, "PATIENCE", 10 * PATIENCE)
    idle = ANSWERS.replace("    message()", "    message(); time.sleep(0.5)").replace("import ", "import time, ", 1)
    answers = json.dumps([answer.hex() for answer in (sent(CONFINED), sent(FACTS))])
    monkeypatch.setattr(render_process, "COMMAND", (sys.executable, "-S", "-c", idle, answers))
    process = RenderProcess()
    with DocumentFile.at(Path(__file__), LimitSettings(open_seconds=0.1)) as file:
        assert isinstance(await process.open(file), Facts)
    await process.end()


async def test_a_valid_response_is_accepted(monkeypatch):
    answering(monkeypatch, sent(FACTS), image(WHITE))
    process = RenderProcess()
    with DocumentFile.at(Path(__file__), LIMITS) as file:
        answer = await process.page(file, 1, 100, {})
    await process.end()
    assert not isinstance(answer, Refused)
    assert answer[1] == [WHITE]  # type: ignore[index]

"""The sandboxed process: what it cannot do, whom it serves, and what of its answers is believed."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.core.errors import RendererError
from tasks.documents import render_process
from tasks.documents import shared_processes as sharing
from tasks.documents.answers import Facts, Refused
from tasks.documents.document_file import DocumentFile
from tasks.documents.pdf import inspect_document
from tasks.documents.png import encoded
from tasks.documents.render_process import CrashedError, RenderProcess
from tasks.documents.shared_processes import shared_processes
from tasks.settings.reading import LimitSettings
from tests.support import pdfs
from tests.support.waiting import PATIENCE
from tests.unit.tasks.documents import rendering

LIMITS = LimitSettings()

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has Landlock and seccomp")


def workers() -> list[int]:
    return [process.pid for process in rendering.workers()]


# What it cannot do

ATTEMPTS = """
import ctypes, json, os, socket, sys
from tasks.documents.sandbox.confine import confine

def attempt(what):
    try:
        what()
    except OSError as error:
        return error.errno != 0
    return False

libc, here = ctypes.CDLL(None, use_errno=True), os.getpid()
held = confine(2000)
refused = {
    "read a file": attempt(lambda: open("/etc/hostname")),
    "read a module": attempt(lambda: open(os.__file__)),
    "write a file": attempt(lambda: open(sys.argv[1], "w")),
    "list a folder": attempt(lambda: os.listdir("/")),
    "see a file": attempt(lambda: os.stat("/etc/hostname")),
    "connect": attempt(lambda: socket.socket(socket.AF_INET)),
    "ask a local service": attempt(lambda: socket.socket(socket.AF_UNIX)),
    "fork": attempt(os.fork),
    "run a program": attempt(lambda: os.execv("/bin/true", ["true"])),
    "signal others": attempt(lambda: os.kill(os.getppid(), 0)),
    "read another's memory": libc.ptrace(16, os.getppid(), 0, 0) != 0,
    "map code": libc.mprotect(ctypes.c_void_p(id(held) & ~4095), ctypes.c_size_t(4096), 5) != 0,
}
print(json.dumps({"held": held, "allowed": [what for what, is_refused in refused.items() if not is_refused]}))
"""


@linux
def test_a_confined_process_reads_writes_starts_and_reaches_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS, str(tmp_path / "written")], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["held"]["landlock"] or told["held"]["seccomp"]
    if told["held"]["seccomp"]:
        assert told["allowed"] == []
    assert not (tmp_path / "written").exists()


async def test_it_is_told_nothing_of_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    monkeypatch.setenv("HEARTH_URL", "http://a.secret/")
    command = ("/bin/sh", "-c", "env | tr '\\n' ' ' >&2")
    monkeypatch.setattr(render_process, "_COMMAND", command)
    process = RenderProcess()
    with DocumentFile.at(Path(__file__), LIMITS) as file, pytest.raises(RendererError) as caught:
        await process.open(file)
    assert "PWD=/" in str(caught.value)
    assert "secret" not in str(caught.value)


# Whom it serves


async def test_documents_that_share_processes_are_opened_in_the_same_one(tmp_path):
    one, two = (pdfs.written(tmp_path / f"{name}.pdf", name) for name in ("one", "two"))
    async with shared_processes():
        await inspect_document(one, LIMITS)
        first = workers()
        await inspect_document(two, LIMITS)
        assert workers() == first
        assert len(first) == 1
    assert workers() == []


async def test_a_document_that_shares_with_none_leaves_no_process(tmp_path):
    await inspect_document(pdfs.written(tmp_path / "one.pdf", "one"), LIMITS)
    assert workers() == []


async def test_a_process_is_replaced_after_a_number_of_documents(tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "_MOST_DOCUMENTS", 2)
    path = pdfs.written(tmp_path / "one.pdf", "one")
    seen = []
    async with shared_processes():
        for _ in range(4):
            await inspect_document(path, LIMITS)
            seen += workers()
    assert len(seen) == 2
    assert len(set(seen)) == 2


async def test_a_process_that_refused_a_document_for_its_memory_serves_no_other(tmp_path):
    process, path = RenderProcess(), pdfs.written(tmp_path / "one.pdf", "one")
    with DocumentFile.at(path, LIMITS) as file:
        assert isinstance(await process.open(file), Facts)
        assert process.sound
    with DocumentFile.at(path, LimitSettings(render_memory_mb=256)) as file:
        answer = await process.open(file)
        assert process.sound == isinstance(answer, Facts)
    await process.end()


async def test_a_document_is_what_it_was_when_it_was_handed_over(tmp_path):
    path, process = pdfs.written(tmp_path / "one.pdf", "one"), RenderProcess()
    with DocumentFile.at(path, LIMITS) as file:
        pdfs.written(tmp_path / "other.pdf", "one", "two").replace(path)
        answer = await process.open(file)
    assert isinstance(answer, Facts)
    assert answer.pages == 1
    await process.end()


# What is believed of it

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
PAGE = {"dpi": 72.0, "width": 10, "height": 10, "images": [IMAGE], "flags": []}


def sent(message: dict[str, Any] | bytes, *, length: int | None = None) -> bytes:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">I", len(data) if length is None else length) + data


def answering(monkeypatch: pytest.MonkeyPatch, *answers: bytes) -> None:
    """Have the process replaced by one that has been taken over, and answers this."""
    scripted = json.dumps([answer.hex() for answer in (sent(CONFINED), *answers)])
    monkeypatch.setattr(render_process, "_COMMAND", (sys.executable, "-S", "-c", ANSWERS, scripted))


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
async def test_what_is_no_answer_about_a_document_ends_the_process(monkeypatch, answer):
    answering(monkeypatch, answer)
    process = RenderProcess()
    with DocumentFile.at(Path(__file__), LIMITS) as file, pytest.raises(CrashedError):
        await process.open(file)
    assert psutil.Process().children() == []


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
    ],
)
async def test_what_is_no_answer_about_a_page_ends_the_process(monkeypatch, answer):
    answering(monkeypatch, sent(FACTS), answer)
    process = RenderProcess()
    with DocumentFile.at(Path(__file__), LIMITS) as file, pytest.raises(CrashedError):
        await process.page(file, 1, 100)
    assert psutil.Process().children() == []


async def test_a_process_that_gets_a_part_of_the_time_alone_is_waited_for(monkeypatch):
    """A busy machine makes no document hostile."""
    monkeypatch.setattr(render_process, "PATIENCE", 10 * PATIENCE)
    idle = ANSWERS.replace("    message()", "    message(); time.sleep(0.5)").replace("import ", "import time, ", 1)
    answers = json.dumps([answer.hex() for answer in (sent(CONFINED), sent(FACTS))])
    monkeypatch.setattr(render_process, "_COMMAND", (sys.executable, "-S", "-c", idle, answers))
    process = RenderProcess()
    with DocumentFile.at(Path(__file__), LimitSettings(open_seconds=0.1)) as file:
        assert isinstance(await process.open(file), Facts)
    await process.end()


async def test_a_true_answer_is_believed(monkeypatch):
    answering(monkeypatch, sent(FACTS), image(WHITE))
    process = RenderProcess()
    with DocumentFile.at(Path(__file__), LIMITS) as file:
        answer = await process.page(file, 1, 100)
    await process.end()
    assert not isinstance(answer, Refused)
    assert answer[1] == [WHITE]  # type: ignore[index]

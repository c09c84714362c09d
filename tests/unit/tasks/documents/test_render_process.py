"""The sandboxed process: its confinement, and its documents."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.core.errors import RendererError
from tasks.documents import render_process
from tasks.documents import shared_processes as sharing
from tasks.documents.answers import Facts
from tasks.documents.document_file import DocumentFile
from tasks.documents.pdf import inspect_document
from tasks.documents.render_process import RenderProcess
from tasks.documents.shared_processes import shared_processes
from tasks.settings.reading import LimitSettings
from tests.support import pdfs
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


async def test_it_gets_nothing_of_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    monkeypatch.setenv("HEARTH_URL", "http://a.secret/")
    command = ("/bin/sh", "-c", "env | tr '\\n' ' ' >&2")
    monkeypatch.setattr(render_process, "COMMAND", command)
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


async def test_a_document_without_sharing_leaves_no_process(tmp_path):
    await inspect_document(pdfs.written(tmp_path / "one.pdf", "one"), LIMITS)
    assert workers() == []


async def test_a_process_is_replaced_after_a_number_of_documents(tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "MOST_DOCUMENTS", 2)
    path = pdfs.written(tmp_path / "one.pdf", "one")
    seen = []
    async with shared_processes():
        for _ in range(4):
            await inspect_document(path, LIMITS)
            seen += workers()
    assert len(seen) == 2
    assert len(set(seen)) == 2


async def test_a_process_that_lacked_memory_for_a_document_serves_no_other(tmp_path):
    process, path = RenderProcess(), pdfs.written(tmp_path / "one.pdf", "one")
    with DocumentFile.at(path, LIMITS) as file:
        assert isinstance(await process.open(file), Facts)
        assert process.sound
    with DocumentFile.at(path, LimitSettings(render_memory_mb=256)) as file:
        answer = await process.open(file)
        assert process.sound == isinstance(answer, Facts)
    await process.end()


async def test_a_document_stays_the_file_that_was_opened(tmp_path):
    path, process = pdfs.written(tmp_path / "one.pdf", "one"), RenderProcess()
    with DocumentFile.at(path, LIMITS) as file:
        pdfs.written(tmp_path / "other.pdf", "one", "two").replace(path)
        answer = await process.open(file)
    assert isinstance(answer, Facts)
    assert answer.pages == 1
    await process.end()

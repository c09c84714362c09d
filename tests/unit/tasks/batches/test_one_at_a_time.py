"""Of alike batches that ask to be alone, one reads; no lock outlives its holder."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tasks.batches.one_at_a_time import AlreadyReadError, one_at_a_time
from tests.support.commands import ROOT

HOLDER = """
import asyncio, sys
from pathlib import Path
from tasks.batches.one_at_a_time import one_at_a_time
async def hold():
    async with one_at_a_time(["inbox"], Path(sys.argv[1])):
        print("held", flush=True)
        await asyncio.sleep(600)
asyncio.run(hold())
"""


async def free(output: Path, *sources: str) -> bool:
    try:
        async with one_at_a_time(sources, output):
            return True
    except AlreadyReadError:
        return False


async def test_a_second_batch_of_the_same_sources_is_told_at_once(tmp_path: Path):
    async with one_at_a_time(["inbox", "more"], tmp_path):
        assert not await free(tmp_path, "more", "inbox")
    assert await free(tmp_path, "inbox", "more")


async def test_other_sources_or_other_results_are_no_matter(tmp_path: Path):
    async with one_at_a_time(["inbox"], tmp_path):
        assert await free(tmp_path, "other")
        assert await free(tmp_path / "elsewhere", "inbox")


async def test_the_same_folder_written_in_another_way_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    async with one_at_a_time(["inbox"], tmp_path):
        assert not await free(tmp_path, str(tmp_path / "inbox"))


async def test_a_holder_that_is_killed_holds_nothing_up(tmp_path: Path):
    command = (sys.executable, "-c", HOLDER, str(tmp_path))
    holder = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert await holder.stdout.readline() == b"held\n"
    assert not await free(tmp_path, str(ROOT / "inbox"))
    holder.kill()
    await holder.wait()
    assert await free(tmp_path, str(ROOT / "inbox"))

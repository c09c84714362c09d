"""The result of a run in Python: the examples of docs/how-to/python.md run unchanged."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, Hearth
from tests.support.pdfs import written
from tests.support.waiting import PATIENCE

PAGE = (ROOT / "docs" / "how-to" / "python.md").read_text()
EXAMPLES = re.findall(r"^```python\n# (.*?)\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
HERE = {told: code for told, code in EXAMPLES if told != "through a deployment"}
WORDS = ("The harbour is quiet.", "Winter brings fewer ships.")

# As a notebook does: each cell is compiled with `await` at its top, and run in the loop that runs already.
CELL = f"""
import ast, asyncio, sys, types
async def main():
    code = compile(sys.argv[1], "cell", "exec", flags={ast.PyCF_ALLOW_TOP_LEVEL_AWAIT})
    made = types.FunctionType(code, names := {{}})()
    if asyncio.iscoroutine(made):
        await made
    print(names["result"].text() if "result" in names else "")
asyncio.run(main())
"""


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    return written(tmp_path / "paper.pdf", *WORDS)


def python(hearth: Hearth, code: str, *arguments: str, **environment: str) -> str:
    """What a Python process prints, which knows of nothing but the environment."""
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code, *arguments],
        cwd=hearth.directory,
        env={**hearth.environment, "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore", **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "never awaited" not in done.stderr
    return done.stdout


def example(told: str, paper: Path) -> str:
    return HERE[told].replace("/data/paper.pdf", str(paper))


def test_the_documentation_has_an_example_for_each_kind_of_caller():
    assert set(HERE) == {
        "a script, with or without a Prefect server",
        "a flow that is not asynchronous",
        "an asynchronous flow",
        "a notebook, whose event loop is running",
        "a batch",
    }


@pytest.mark.long("each is a process of its own that starts Prefect's client; a script and a notebook are run always")
@pytest.mark.parametrize("told", ["a flow that is not asynchronous", "an asynchronous flow"])
def test_the_examples_in_a_flow_return_the_text(hearth: Hearth, serving, paper: Path, told: str):
    text = python(hearth, example(told, paper), **serving("echo").settings)
    assert int(text.strip()) == len((next((paper.parent / "results").glob("*/document.md"))).read_text())


@pytest.mark.long("a process of its own: 14 s")
def test_the_example_of_a_script_prints_the_text_of_its_pages(hearth: Hearth, serving, paper: Path):
    text = python(hearth, example("a script, with or without a Prefect server", paper), **serving("echo").settings)
    (document,) = (paper.parent / "results").glob("*/document.md")
    assert text == f"2 {document.read_text()}\n"


@pytest.mark.long("Prefect's temporary server takes seconds to start")
def test_a_script_needs_no_prefect_server(hearth: Hearth, serving, paper: Path):
    del hearth.environment["PREFECT_API_URL"]
    code = example("a script, with or without a Prefect server", paper)
    assert python(hearth, code, **serving("echo").settings).startswith("2 <!-- page 1 -->")


@pytest.mark.long("a process of its own: 11 s")
def test_the_example_of_a_notebook_runs_in_its_loop(hearth: Hearth, serving, paper: Path):
    code = example("a notebook, whose event loop is running", paper)
    assert python(hearth, CELL, code, **serving("echo").settings).startswith("<!-- page 1 -->")


@pytest.mark.long("a process of its own; test_a_call_that_is_not_awaited has the mechanism")
def test_the_example_of_a_script_works_in_a_notebook_too(hearth: Hearth, serving, paper: Path):
    code = example("a script, with or without a Prefect server", paper)
    assert python(hearth, CELL, code, **serving("echo").settings).startswith("2 <!-- page 1 -->")


@pytest.mark.long("a process of its own")
def test_the_example_of_a_batch_returns_the_text_of_each_document(hearth: Hearth, serving, paper: Path):
    text = python(hearth, example("a batch", paper), **serving("echo").settings)
    assert "/batches/" in text
    assert "<!-- page 2 -->" in text


async def test_a_synchronous_call_returns_a_result_within_a_running_loop():
    from flows.local.from_python import run_to_end

    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert run_to_end(work()) == 7

"""`hearth read` on warm servers: the processes that it starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import pdfs
from tests.support.commands import Hearth

pytestmark = pytest.mark.long("reads twice by an interpreter of its own: 10 s")

WATCHED = """
import atexit, json, os, sys
started = []
sys.addaudithook(lambda event, facts: started.append(list(map(str, facts[1]))) if event == "subprocess.Popen" else None)
atexit.register(lambda: open(os.environ["STARTED"], "w").write(json.dumps(started)))
from flows.cli.main import main
main()
"""


def test_a_warm_read_starts_one_process_which_opens_and_renders_the_document(hearth: Hearth, tmp_path: Path):
    letter = pdfs.written(tmp_path / "letter.pdf", "The harbour is quiet.", "Winter brings fewer ships.")
    assert hearth.read(letter).code == 0
    log = tmp_path / "started.json"
    command = [sys.executable, "-P", "-c", WATCHED, "read", letter, "--force", "--json"]
    environment = {**hearth.environment, "STARTED": str(log)}
    subprocess.run(command, cwd=hearth.directory, env=environment, check=True, stdout=subprocess.DEVNULL)
    # Where trio is installed, httpcore imports it, which looks for a library.
    started = [each for each in json.loads(log.read_text()) if Path(each[0]).name != "ldconfig"]
    assert [each[each.index("-m") + 1] for each in started] == ["tasks.documents.sandbox.worker"]

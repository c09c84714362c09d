"""The tools of tests: how a missing one is reported, and the script that installs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.tools import NGINX, ROOT, SmallDisk, Tool

SKIPPED = """
import pytest
from tests.support.tools import Tool, needs

pytestmark = needs(Tool("no-such-program", "it proves this"))


@pytest.mark.parametrize("number", range(3))
def test_it(number):
    raise AssertionError
"""


def test_a_missing_program_is_named_once_with_how_to_get_it(tmp_path: Path):
    (tmp_path / "test_skipped.py").write_text(SKIPPED)
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.tools", "-c", ROOT / "pyproject.toml", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    expected = "3 tests were skipped: no-such-program is missing (it proves this): `make tools` installs it"
    assert done.stdout.splitlines().count(expected) == 1
    assert done.stdout.count("no-such-program") == 1


def test_a_program_in_an_environment_of_its_own_is_found(tmp_path: Path, monkeypatch):
    program = tmp_path / ".tools" / "judge" / "bin" / "judge"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr("tests.support.tools.ROOT", tmp_path)
    assert Tool("judge", "it judges").path == program


def test_an_absent_tool_has_no_path_and_says_so():
    absent = Tool("no-such-program", NGINX.purpose)
    assert absent.path is None
    assert "`make tools`" in absent.missing


def test_a_tool_that_is_not_built_for_this_machine_says_so():
    foreign = Tool("no-such-program", "it proves this", only_on=("Plan9", "vax"))
    assert foreign.missing == "no-such-program is missing (it proves this): it is to be had for Plan9 vax alone"


def test_a_small_disk_is_seen_within_its_namespace_and_from_outside(small_disk: SmallDisk):
    write = 'echo kept > "$0/file"; head -c 200000 /dev/zero > "$0/large"'
    done = subprocess.run(
        [*small_disk.prefix, "sh", "-c", write, str(small_disk.directory)], capture_output=True, text=True, check=False
    )
    assert "No space left on device" in done.stderr
    assert (small_disk.outside / "file").read_text() == "kept\n"
    assert not list(small_disk.directory.iterdir())


def test_shellcheck_finds_nothing_wrong_with_the_script_that_installs_tools():
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run(
        [shellcheck, ROOT / "tests" / "support" / "tools.sh"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout

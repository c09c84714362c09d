"""A wheel that is built from this checkout, in a virtual environment that has it instead of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import ROOT, Outcome
from tests.support.environment import clean
from tests.support.prefect_home import QUIET, seed
from tests.support.waiting import PATIENCE


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    asked = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(directory)]
    _pip(sys.executable, *asked, str(ROOT))
    (built,) = directory.glob("hearth_pages-*.whl")
    return built


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of its programs. Its dependencies are those of this interpreter, by a .pth."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, symlinks=True)
    programs = root / "bin"
    _pip(
        sys.executable,
        "--python",
        str(programs / "python"),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(wheel),
    )
    (packages,) = root.glob("lib/python3*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


@pytest.fixture
def installed(environment: Path, tmp_path: Path) -> Installed:
    """The command of the wheel, for somebody without a Prefect server, in an empty directory."""
    home, empty = tmp_path / "home", tmp_path / "empty"
    empty.mkdir()
    own = {"HEARTH_HOME": str(home), "PREFECT_HOME": str(home / "prefect"), "HEARTH_BACKEND": "embedded"}
    aws = {"AWS_CONFIG_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
    return Installed(environment, empty, {**clean("AWS_", "PYTHONPATH"), **QUIET, **own, **aws})


@pytest.fixture
def starting(installed: Installed) -> Iterator[Installed]:
    """The same, for tests that start servers: these end with the test."""
    seed(Path(installed.environment["PREFECT_HOME"]))
    yield installed
    installed("down")
    installed("stop", "--force")


class Installed:
    """Runs a program of the environment."""

    def __init__(self, programs: Path, directory: Path, environment: dict[str, str]) -> None:
        self.programs, self.directory, self.environment = programs, directory, environment

    def start(self, *arguments: str | Path, program: str = "hearth", **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.programs / program), *map(str, arguments)],
            cwd=self.directory,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str | Path, program: str = "hearth", **more: str) -> Outcome:
        with self.start(*arguments, program=program, **more) as process:
            out, err = process.communicate(timeout=3 * PATIENCE)
        return Outcome(process.returncode, out, err)


def _pip(python: str, *arguments: str) -> None:
    done = subprocess.run([python, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

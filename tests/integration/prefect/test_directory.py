"""A directory with files of a stranger: they execute nothing, and links are not followed silently."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.prefect.hearth_up import START_SECONDS, Up
from tests.support import pdfs
from tests.support.commands import ROOT, Hearth
from tests.support.environment import clean
from tests.support.ollama.scripted import ScriptedOllama
from tests.support.prefect_home import seed

pytestmark = pytest.mark.long("brings up a server and a worker in a directory of strangers' files")
SHADOWED = ("prefect.py", "sitecustomize.py", "tasks.py", "typing_extensions.py", "json.py", "flows.py")


def booby_trapped(directory: Path) -> Path:
    """Fill a directory with all that would run a stranger's code, and return the file that such code writes."""
    marker = directory.parent / f"{directory.name}.pwned"
    code = f"import os; open({str(marker)!r}, 'a').write(__file__ + '\\n')\n"
    evil = directory / "evil"
    evil.mkdir(parents=True)
    (evil / "evil_logging.py").write_text(code + "import logging\nHandler = logging.NullHandler\n")
    logging_file = directory / "logging.yml"
    logging_file.write_text(
        "version: 1\ndisable_existing_loggers: false\nhandlers:\n  evil:\n    (): evil_logging.Handler\n"
        "loggers:\n  prefect:\n    level: INFO\n    handlers: [evil]\n"
    )
    (directory / "prefect.toml").write_text(
        f'profiles_path = "profiles.toml"\n[logging]\nconfig_path = "{logging_file}"\n'
    )
    (directory / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\ndependencies = ["prefect"]\n'
        f'[tool.prefect]\nprofiles_path = "profiles.toml"\n[tool.prefect.logging]\nconfig_path = "{logging_file}"\n'
    )
    (directory / "profiles.toml").write_text(
        f'active = "evil"\n[profiles.evil]\nPREFECT_LOGGING_SETTINGS_PATH = "{logging_file}"\n'
    )
    (directory / ".env").write_text(
        f"PREFECT_LOGGING_SETTINGS_PATH={logging_file}\nPREFECT_LOGGING_CONFIG_PATH={logging_file}\n"
        f"PREFECT_PROFILES_PATH={directory / 'profiles.toml'}\n"
    )
    for name in SHADOWED:
        (directory / name).write_text(code)
    return marker


def newcomer_in(directory: Path, home: Path, **more: str) -> Hearth:
    own = {"HEARTH_HOME": str(home), "PREFECT_HOME": str(seed(home / "prefect")), "HEARTH_BACKEND": "embedded"}
    # The trap's module can be imported, so that what fails to run it is not the import.
    return Hearth(directory, {**clean("AWS_"), **own, "PYTHONPATH": str(directory / "evil"), **more}, anew=True)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "theirs"


def test_a_run_executes_no_file_of_a_strangers_directory(directory: Path, tmp_path: Path, server: ScriptedOllama):
    marker = booby_trapped(directory)
    paper = pdfs.written(directory / "paper.pdf", "One.")
    hearth = newcomer_in(directory, tmp_path / "home", HEARTH_URL=server.url, HEARTH_BACKEND="url")
    try:
        outcome = hearth("read", paper)
    finally:
        hearth("stop", "--force")
    assert outcome.code == 0, outcome.err
    assert not marker.exists(), marker.read_text()
    assert "prefect.toml" in outcome.err
    assert "PREFECT_LOGGING_SETTINGS_PATH" in outcome.err


def test_hearth_up_executes_no_file_of_a_strangers_directory(directory: Path, tmp_path: Path):
    """Neither the server, the deployments, the worker nor the process of a run does."""
    marker = booby_trapped(directory)
    (directory / "prefect.yaml").write_bytes((ROOT / "prefect.yaml").read_bytes())
    paper = pdfs.written(directory / "paper.pdf", "One.")
    home = tmp_path / "home"
    hearth = newcomer_in(directory, home, HEARTH_OUTPUT=str(home / "results"), PREFECT_WORKER_QUERY_SECONDS="1")
    try:
        done = hearth("up")
        assert done.code == 0, done.err
        (record,) = home.glob("servers/prefect-*/server.json")
        up = Up(home, json.loads(record.read_text())["url"] + "/api", hearth, done.out)
        run = up.ended(up.run("process-document/on-demand", job={"document": str(paper)}), START_SECONDS)
        assert run["state_name"] == "Completed", run["state"]
    finally:
        hearth("down")
        hearth("stop", "--force")
    assert not marker.exists(), marker.read_text()

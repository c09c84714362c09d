"""The table of commands: each is imported only when it is called."""

import subprocess
import sys

import pytest

from flows.cli.commands import COMMANDS, load_command


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_in_the_list_is_the_first_sentence_of_the_commands_help(name):
    assert " ".join(load_command(name).help.split("\n\n")[0].split()) == COMMANDS[name].summary


def test_the_list_of_commands_imports_neither_settings_nor_a_command():
    script = "import sys; sys.argv = ['hearth', '--help']; from flows.cli.main import main\ntry: main()\n"
    script += "finally: print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True).stdout
    listing, modules = printed.rsplit("\n", 2)[0], set(printed.splitlines()[-1].split())
    assert all(f" {name} " in listing for name in COMMANDS)
    assert not modules & {"prefect", "httpx", "boto3", "pydantic", "pydantic_settings", "tasks.settings.settings"}
    assert {module for module in modules if module.startswith("flows.cli.")} == {
        f"flows.cli.{name}" for name in ("commands", "completion", "console", "main", "run")
    }


def test_a_misspelt_command_is_refused_with_the_one_that_was_meant():
    command = [sys.executable, "-P", "-m", "flows.cli.main", "stauts"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "status" in refused.stderr

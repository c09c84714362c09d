"""`hearth completion`, in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environment import clean

pytestmark = pytest.mark.long("starts each shell: 10 s in all")

ASK = """
source <(hearth completion bash)
complete -p hearth >/dev/null || exit 1
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_hearth_completion hearth
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def environment() -> dict[str, str]:
    return {**clean(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.mark.long("a shell that starts the command twice: 4 s")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("hearth bat", {"batch"}),
        ("hearth infra po", {"policy"}),
        ("hearth read --num-", {"--num-ctx", "--num-predict"}),
        ("hearth read --backend e", {"ec2", "ecs", "embedded"}),
    ],
)
def test_bash_completes_commands_options_and_their_values(environment: dict[str, str], words: str, expected: set[str]):
    ask = ASK.format(words=words)
    done = subprocess.run(["bash", "--norc", "-c", ask], env=environment, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == expected, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_parse_its_script(environment: dict[str, str], shell: str):
    printed = subprocess.run(
        ["hearth", "completion", shell], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "_HEARTH_COMPLETE" in printed
    if (program := shutil.which(shell)) is not None:
        subprocess.run([program, "-n"], input=printed, text=True, check=True)


def test_another_shell_is_refused(environment: dict[str, str]):
    done = subprocess.run(
        ["hearth", "completion", "tcsh"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "tcsh" in done.stderr) == (2, True)

"""`hearth completion`: print the script with which a shell completes commands and options. Typer has the scripts."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from flows.cli.console import write

_VARIABLE = "_HEARTH_COMPLETE"


class Shell(StrEnum):
    """A supported shell."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="The shell: bash, zsh or fish.")],
) -> None:
    """Print the completion script of a shell.

    bash:  echo 'source <(hearth completion bash)' >> ~/.bashrc
    zsh:   echo 'source <(hearth completion zsh)' >> ~/.zshrc
    fish:  hearth completion fish > ~/.config/fish/completions/hearth.fish
    """
    from typer._completion_shared import get_completion_script

    write(get_completion_script(prog_name="hearth", complete_var=_VARIABLE, shell=shell.value) + "\n")


def complete() -> None:
    """Let Typer answer instead of the command when a shell asks for completions."""
    if _VARIABLE in os.environ:
        from typer._completion_classes import completion_init

        completion_init()

"""`hearth models`: what each model is sent, by its profile."""

import json
from typing import Annotated, Any

import typer

from flows.cli import options
from flows.cli.console import out, plain_table, print_json
from tasks.models.catalog import find_profile, profiles
from tasks.models.profile import Profile
from tasks.settings.settings import load_settings

_PROMPT_CHARACTERS = 40


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="Show the profile that this model gets.", show_default="all")
    ] = None,
    *,
    as_json: options.Json = False,
) -> None:
    """List what models are sent: their profiles.

    A profile of your own is a TOML file in HEARTH_READ__PROFILES_DIRECTORY.
    """
    directory = load_settings().read.profiles_directory
    shown = [find_profile(name, directory=directory)] if name else list(profiles(directory).values())
    if as_json:
        print_json([_fields(profile) for profile in shown])
    elif name:
        _show(shown[0])
    else:
        table = plain_table("Profile", "Models", "Prompt", "Image", "Slots")
        for profile in shown:
            side = f"{profile.longest_side} px" if profile.longest_side else ""
            slots = "none: refused" if profile.refused else "several" if profile.parallel else "one"
            table.add_row(profile.name, ", ".join(profile.names), _prompt(profile), side, slots)
        out.print(table)


def _prompt(profile: Profile) -> str:
    if profile.prompt is None:
        return "general"
    first = profile.prompt.partition("\n")[0]
    shortened = first if len(first) <= _PROMPT_CHARACTERS else f"{first[: _PROMPT_CHARACTERS - 3]}..."
    return shortened or "none: the image alone"


def _fields(profile: Profile) -> dict[str, Any]:
    return profile.model_dump(mode="json", exclude_defaults=True)


def _show(profile: Profile) -> None:
    for field, value in _fields(profile).items():
        out.say(f"{field}: {value if isinstance(value, str) else json.dumps(value)}")

"""Which profile a model gets: by its name, by its family, or the general one."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from types import MappingProxyType

from tasks.core.errors import InputError
from tasks.models.profile import Profile, load_profile

GENERAL = "general"
"""Name of the profile of models that no other one fits."""

_SHIPPED = Path(__file__).parent / "profiles"
_IGNORED = re.compile(r"[-_.\s]")


def profiles(directory: Path | None = None) -> Mapping[str, Profile]:
    """Return all profiles by name, those of a user's own directory over the shipped ones.

    Args:
        directory: of the user's profiles, `*.toml`; None if there is none.

    Raises:
        InputError: the directory does not exist, or a file in it is not a profile.
    """
    if directory is None:
        return _shipped()
    if not directory.is_dir():
        raise InputError(
            f"There is no directory of profiles {directory}. Make it, or correct HEARTH_READ__PROFILES_DIRECTORY."
        )
    return MappingProxyType({**_shipped(), **_profiles_in(directory)})


def find_profile(model: str, directory: Path | None = None) -> Profile:
    """Return the profile of a model.

    The longest pattern that fits its name wins; a user's own profile wins over a shipped one whose pattern is as long.
    Case and the signs `-`, `_`, `.` do not matter.

    Args:
        model: its name, as the server has it: `qwen2.5vl:7b`, `hf.co/allenai/olmOCR-2-7B-1025-GGUF:Q8_0`.
        directory: of the user's profiles.

    Raises:
        InputError: a profile of the user's cannot be read.
    """
    known = profiles(directory)
    matches = [
        (len(_plain(pattern)), place, profile)
        for place, profile in enumerate(known.values())
        for pattern in profile.names
        if _matches(model, pattern)
    ]
    return max(matches, key=lambda match: match[:2])[2] if matches else known[GENERAL]


def profile_by_server(family: str, weights: str, directory: Path | None = None) -> Profile:
    """Return the profile of a model whose name says nothing, by what its server says of it; else the general one.

    Args:
        family: as Ollama's /api/show names it; empty if it is not known.
        weights: name of the weights, as vLLM and llama-server tell it; empty if it is not known. It wins.
        directory: of the user's profiles.

    Raises:
        InputError: a profile of the user's cannot be read.
    """
    if weights and (named := find_profile(weights, directory)).name != GENERAL:
        return named
    known = profiles(directory)
    of_family = [profile for profile in known.values() if family and family in profile.families]
    return of_family[-1] if of_family else known[GENERAL]


def named_profile(name: str, directory: Path | None = None) -> Profile:
    """Return the profile of that name.

    Raises:
        InputError: there is none, or a profile of the user's cannot be read.
    """
    known = profiles(directory)
    if name not in known:
        raise InputError(
            f"There is no profile {name!r}. Name one of {', '.join(known)}, or add its file; see `hearth models`."
        )
    return known[name]


@cache
def _shipped() -> Mapping[str, Profile]:
    return MappingProxyType(_profiles_in(_SHIPPED))


def _profiles_in(directory: Path) -> dict[str, Profile]:
    return {profile.name: profile for profile in map(load_profile, sorted(directory.glob("*.toml")))}


def _matches(model: str, pattern: str) -> bool:
    """Compare a pattern with the model's name with and without its host and namespace."""
    parts = model.strip().lower().rpartition("://")[2].split("/")
    names = ("/".join(parts[start:]) for start in range(len(parts)))
    return any(fnmatchcase(_plain(name), _plain(pattern)) for name in names)


def _plain(text: str) -> str:
    return _IGNORED.sub("", text.lower())

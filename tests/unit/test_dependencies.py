"""What the wheel asks for is what the lock has, and what was tested with it."""

from __future__ import annotations

import re
import tomllib
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    Requirement(each) for each in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
]
LOCKED = {
    canonicalize_name(name): Version(version)
    for file in ("requirements.lock", "requirements-dev.lock")
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / file).read_text(), re.MULTILINE)
}
DATED = {"certifi"}
"""Their versions are dates, and tell nothing of what changes."""


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda each: each.name)
class TestBounds:
    def test_the_locked_version_is_within_them(self, requirement: Requirement):
        assert LOCKED[canonicalize_name(requirement.name)] in requirement.specifier

    def test_an_older_minor_version_than_the_locked_one_is_not(self, requirement: Requirement):
        release = LOCKED[canonicalize_name(requirement.name)].release
        at = next(at for at in (1, 0, 2) if at < len(release) and release[at])
        older = ".".join(map(str, (*release[:at], release[at] - 1, 999)))
        assert Version(older) not in requirement.specifier

    def test_the_next_version_that_may_break_it_is_not(self, requirement: Requirement):
        release = LOCKED[canonicalize_name(requirement.name)].release
        newer = f"{release[0] + 1}.0" if release[0] else f"0.{release[1] + 1}"
        assert (Version(newer) in requirement.specifier) == (requirement.name in DATED)

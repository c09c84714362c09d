"""What images and machines download is verified: Python packages by hash, archives by digest, nothing by a pipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILES = sorted(ROOT.glob("infra_scripts/*/Dockerfile"))
SCRIPTS = [*DOCKERFILES, *sorted(ROOT.glob("infra_scripts/**/*.sh"))]
LOCKS = [ROOT / "requirements-aws.lock", ROOT / "infra_scripts/sagemaker/requirements.txt"]


def commands(path: Path) -> list[str]:
    """Its lines, those that go on on the next one joined, and each command of them by itself."""
    joined = path.read_text().replace("\\\n", " ")
    return [command for line in joined.splitlines() for command in re.split(r"&&|;", line) if not line.startswith("#")]


def versions(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_pip_takes_nothing_without_its_hash_but_hearth_itself(path: Path):
    installs = [command for command in commands(path) if "pip install" in command]
    assert all("--no-deps" in command for command in installs)
    assert all("--require-hashes" in command or command.rstrip().endswith(" .") for command in installs)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_was_downloaded_is_piped_into_a_shell(path: Path):
    assert not [
        command for command in commands(path) if re.search(r"(curl|wget|fetch)\b[^|]*\|\s*(ba|z)?sh\b", command)
    ]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_the_image_that_another_rests_on_can_be_pinned(path: Path):
    (base,) = [command for command in commands(path) if command.startswith("FROM ")]
    assert re.search(r"\$\{(\w+_DIGEST):\+@\}\$\{\1\}$", base)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_each_package_of_a_lock_has_hashes(lock: Path):
    blocks = re.split(r"\n(?=[a-z])", lock.read_text().split("make lock\n", 1)[1])
    assert len(blocks) == len(versions(lock)) >= 10
    assert all("--hash=sha256:" in block for block in blocks)


def test_images_have_the_versions_that_are_tested():
    tested = versions(ROOT / "requirements.lock")
    for lock in LOCKS:
        assert {name: version for name, version in versions(lock).items() if name in tested}.items() <= tested.items()
    assert versions(LOCKS[0]).keys() >= tested.keys() | {"prefect-aws"}

"""The commands that build images: what Docker is told, wherever an image is built or the docs say how."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra_scripts.ecs.service import BUILD_SCRIPT
from tests.support.waiting import PATIENCE

REPOSITORY = Path(__file__).parents[4]
PUSH = REPOSITORY / "infra_scripts" / "common" / "push_image.sh"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/hearth:1"
RECORD = '#!/bin/sh\necho "$(basename "$0") $*" >> "$RECORD"\n'


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[str]]:
    """Run a script with a `docker` and an `aws` that write down what they are told."""
    for name in ("docker", "aws"):
        (tmp_path / name).write_text(RECORD)
        (tmp_path / name).chmod(0o755)

    def run(script: Path, *arguments: str) -> list[str]:
        record = tmp_path / "record"
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "RECORD": str(record)}
        subprocess.run(["sh", str(script), *arguments], env=environment, check=True, timeout=PATIENCE)
        return record.read_text().splitlines()

    return run


def build(lines: list[str]) -> str:
    (found,) = (line for line in lines if "build" in line)
    return found


@pytest.mark.parametrize(
    ("script", "arguments"),
    [(PUSH, (IMAGE, "--build-arg", "MODEL=m", "context")), (BUILD_SCRIPT, (IMAGE, "qwen2.5vl:7b", "0.33.0"))],
    ids=["push_image", "ecs"],
)
def test_one_manifest_of_dockers_media_type_for_x86_without_attestations(
    run: Callable[..., list[str]], script: Path, arguments: tuple[str, ...]
):
    told = build(run(script, *arguments))
    assert told.startswith("docker buildx build --platform linux/amd64 --provenance=false --sbom=false ")
    assert f"--output type=image,name={IMAGE},oci-mediatypes=false,push=true" in told


def test_ecr_is_signed_in_to_before_the_push_in_the_images_own_region(run: Callable[..., list[str]]):
    first = run(PUSH, IMAGE, ".")[0]
    assert first in {
        "aws ecr get-login-password --region eu-west-1",
        f"docker login --username AWS --password-stdin {IMAGE.partition('/')[0]}",
    }


def test_another_registry_needs_no_aws(run: Callable[..., list[str]]):
    assert [line.split()[0] for line in run(PUSH, "ghcr.io/owner/hearth:1", ".")] == ["docker"]


@pytest.mark.parametrize("arguments", [(), (IMAGE,)], ids=["nothing", "no context"])
def test_what_is_missing_is_said(arguments: tuple[str, ...]):
    done = subprocess.run(["sh", str(PUSH), *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


def test_shellcheck_finds_nothing_wrong_with_it():
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, PUSH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_nothing_else_builds_or_pushes_an_image_and_no_page_of_the_docs_says_otherwise():
    texts = [path for name in ("docs", "infra_scripts", "flows", "tasks") for path in (REPOSITORY / name).rglob("*")]
    plain = re.compile(r"docker (build|push|image build|image push|compose build)\b|docker buildx build")
    found = {
        path.relative_to(REPOSITORY).as_posix(): line
        for path in [*texts, *REPOSITORY.glob("*.md"), REPOSITORY / "Makefile"]
        if path.is_file() and path.suffix not in {".png", ".svg", ".pyc"}
        for line in path.read_text(errors="replace").splitlines()
        if plain.search(line) and not re.search(r"`docker build(x build)?`|^#|usage:", line)
    }
    assert list(found) == ["infra_scripts/common/push_image.sh"]

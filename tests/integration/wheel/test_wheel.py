"""The wheel works by itself, in an empty directory."""

from __future__ import annotations

import json
import subprocess
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import httpx
import pytest
import yaml

from tasks.ollama.address import free_port
from tests.integration.wheel.conftest import Installed
from tests.support.commands import ROOT
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("runs commands of an installed wheel: 2 to 5 s")

PACKAGES = ("flows", "tasks", "infra_scripts")
AWS = {"HEARTH_EC2__REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/hearth:1"
SETTINGS = {
    "HEARTH_SAGEMAKER_STACK__IMAGE": IMAGE,
    "HEARTH_TRIGGER__IMAGE": IMAGE,
    "HEARTH_TRIGGER__BUCKET": "uploads",
    "HEARTH_TRIGGER__PREFECT_URL": "https://prefect.example/api",
    "HEARTH_OUTPUT": "s3://results/here",
}


@pytest.mark.always
def test_it_has_every_file_of_the_packages_and_the_deployments(wheel: Path):
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        assert archive.read("flows/local/prefect.yaml") == (ROOT / "prefect.yaml").read_bytes()
    assert {*tracked.stdout.split("\n")} - {""} <= packed


@pytest.mark.always
def test_it_names_its_licence_and_brings_the_text(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(about).decode())
        text = archive.read(about.replace("METADATA", "licenses/LICENSE")).decode()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] == "The Hearth authors"
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_code_and_the_deployments_are_those_of_the_wheel(installed: Installed):
    told = installed("-P", "-m", "flows.local.prefect_yaml", program="python")
    assert Path(told.out.strip()).is_relative_to(installed.programs.parent), told.err
    assert yaml.safe_load(Path(told.out.strip()).read_text())["deployments"]


def test_it_writes_a_sample_and_knows_its_prices(installed: Installed):
    assert installed("sample", "sample.pdf").code == 0
    assert (installed.directory / "sample.pdf").read_bytes().startswith(b"%PDF")
    assert "g4dn.xlarge" in installed("prices", "show").out


@pytest.mark.parametrize("stack", ["ec2", "ecs", "sagemaker", "lambda", "monitoring"])
def test_it_has_the_template_and_the_policies_of_a_stack(installed: Installed, stack: str):
    reach = ["--allow-from", "10.0.0.0/16"] if stack in {"ec2", "ecs"} else []
    template = installed("infra", "template", stack, *reach, **AWS, **SETTINGS)
    assert "Resources:" in template.out, template.err
    policy = installed("infra", "policy", "caller", stack, "--account", "123456789012", **AWS)
    assert json.loads(policy.out)["Statement"], policy.err


@pytest.mark.long("reads a document and a batch")
def test_it_reads_a_document_and_a_batch_in_an_empty_directory(starting: Installed):
    starting("sample", "inbox/sample.pdf")
    read = starting("read", "inbox/sample.pdf", "--text")
    assert (read.code, "warm" in read.out) == (0, True), read.err
    batch = starting("batch", "inbox", "--json")
    assert batch.code == 0, batch.err
    assert list(starting.directory.glob("results/sample-*/document.md"))


@pytest.mark.long("brings up a server and a worker")
def test_it_brings_prefect_up_in_an_empty_directory(starting: Installed):
    up = starting("up")
    assert up.code == 0, up.err
    assert list(starting.directory.iterdir()) == []
    assert starting("down").out.count(" has stopped.") == 2


@pytest.mark.long("serves the API")
def test_it_serves_the_api(starting: Installed):
    port = free_port()
    with starting.start("serve-api", "--port", str(port), API_DIRECTORY=str(starting.directory / "api")) as serving:
        until(lambda: _answers(f"http://127.0.0.1:{port}/openapi.json"))
        serving.terminate()
        serving.communicate(timeout=PATIENCE)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=PATIENCE).is_success
    except httpx.TransportError:
        return False


def test_a_source_distribution_makes_the_same_wheel(tmp_path: Path):
    """What a package index builds from."""
    from hatchling.builders.sdist import SdistBuilder

    (made,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(made) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"prefect.yaml", "LICENSE", "NOTICE", "flows/cli/main.py", "pyproject.toml"} <= names

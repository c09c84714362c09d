"""The request by which a machine loads its model before a run asks for it: with the options of the pages."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from flows.stacks.registry import StackName, open_deployment
from infra_scripts.common.deployment import Options
from tasks.core.jobs import Job
from tasks.core.options import BackendName
from tasks.ollama.schema import page_body
from tasks.runs.setup import choose_setup
from tasks.settings.ec2 import Ec2StackSettings
from tasks.settings.reading import ReadSettings
from tasks.settings.settings import Settings
from tests.support.infra.linted import decode


def carried(settings: Settings) -> dict[str, Any]:
    """The request that the pool's machines carry."""
    asked = open_deployment(StackName.EC2, settings, Options(allow_from=("10.0.0.0/16",)), "us-east-1").request()
    launched = decode(asked.template)[0]["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    config = gzip.decompress(base64.b64decode(launched["UserData"])).decode()
    (command,) = json.loads(config.partition("\n")[2])["bootcmd"]
    request: dict[str, Any] = json.loads(command[command.index("/etc/hearth/load.json") + 1])
    return request


def pages(settings: Settings) -> dict[str, Any]:
    """The request for a page of a run on the pool."""
    setup = choose_setup(Job(document="paper.pdf", backend=BackendName.EC2), settings)
    return page_body(setup.call.request(600), "Read the page.", (b"image",))


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(read=ReadSettings(num_ctx=16_384)),
        Settings(ec2_stack=Ec2StackSettings(model="hf.co/allenai/olmOCR-2-7B-1025-GGUF:Q8_0")),
    ],
    ids=["the defaults", "another context", "a model with a profile"],
)
def test_a_machine_loads_its_model_with_the_options_of_the_pages(settings: Settings):
    load, page = carried(settings), pages(settings)
    assert load["prompt"] == ""
    assert load["images"] == []
    # Another value of one of these makes Ollama load the model again.
    assert {name: load[name] for name in ("model", "shift", "options")} == {
        name: page[name] for name in ("model", "shift", "options")
    }


def test_a_model_that_no_run_comes_for_does_not_stay_loaded_for_long():
    assert carried(Settings())["keep_alive"] == "120s"

"""The flows of the deployments: found by dotted names, pickled, and called with JSON parameters."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import yaml
from prefect.utilities.callables import parameter_schema

from flows.plan_costs import plan_costs
from flows.process_batch import process_batch
from flows.process_document import process_document
from tasks.core.jobs import BackendName
from tests.support.commands import ROOT

DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


def test_every_dotted_entrypoint_loads_in_a_new_process(tmp_path: Path):
    entrypoints = sorted({each["entrypoint"] for each in DEPLOYMENTS})
    code = (
        "import json, sys\n"
        "from prefect.flows import load_flow_from_entrypoint\n"
        "print(json.dumps([load_flow_from_entrypoint(each).name for each in sys.argv[1:]]))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *entrypoints], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # A flow is called as its function is; that of one which does not load is a placeholder's.
    assert json.loads(done.stdout) == [each.rpartition(".")[2].replace("_", "-") for each in entrypoints]


@pytest.mark.parametrize("flow", [process_document, process_batch, plan_costs], ids=lambda flow: flow.name)
def test_every_field_of_a_form_is_one_plain_input_with_a_title_and_a_description(flow: Any):
    fields = [field for model in parameter_schema(flow).definitions.values() for field in model["properties"].values()]
    assert len(fields) >= 8
    for field in fields:
        assert {"title", "description", "type"} <= field.keys(), field
        assert "anyOf" not in field


def test_a_backend_is_chosen_from_a_list():
    backend = parameter_schema(process_document).definitions["Job"]["properties"]["backend"]
    assert backend["enum"] == [name.value for name in BackendName]


@pytest.mark.long("an interpreter that imports Prefect: 8 s")
def test_a_pickled_flow_keeps_its_parameters(tmp_path: Path):
    pickled = tmp_path / "flow.pickle"
    pickled.write_bytes(cloudpickle.dumps(process_document))
    code = (
        "import cloudpickle, pathlib, sys\n"
        "flow = cloudpickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "print(flow.validate_parameters({'job': {'document': 'a.pdf'}})['job'].document)"
    )
    done = subprocess.run([sys.executable, "-c", code, pickled], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "a.pdf", done.stderr

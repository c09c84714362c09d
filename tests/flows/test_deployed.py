"""The flow as a deployment has it: found by its dotted name, pickled to another process, given JSON parameters."""

import subprocess
import sys
from pathlib import Path

import cloudpickle
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from flows.process_document import process_document
from tests.commands import ROOT


def test_the_dotted_entrypoint_loads():
    assert load_flow_from_entrypoint("flows.process_document.process_document").name == "process-document"


def test_the_parameters_make_a_form():
    job = parameter_schema(process_document).definitions["Job"]
    assert job["required"] == ["document"]
    assert job["properties"]["document"]["title"] == "PDF"
    assert all("title" in field for field in job["properties"].values())


def test_a_pickled_flow_knows_its_parameters(tmp_path: Path):
    pickled = tmp_path / "flow.pickle"
    pickled.write_bytes(cloudpickle.dumps(process_document))
    code = (
        "import cloudpickle, pathlib, sys\n"
        "flow = cloudpickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "print(flow.validate_parameters({'job': {'document': 'a.pdf'}})['job'].document)"
    )
    done = subprocess.run([sys.executable, "-c", code, pickled], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "a.pdf", done.stderr

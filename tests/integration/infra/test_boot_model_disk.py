"""The boot script and the model's disk: what is read ahead, and where the model lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.infra.test_boot import Machine

pytestmark = pytest.mark.long("runs a machine's boot script for each test: 3 to 5 s")


def machine(here: Path, how: str) -> Machine:
    """A machine whose scripts for the model's disk write down that they ran; its models lie in the test's directory."""
    made = Machine(here, model_disk=how)
    for name in ("prefetch.sh", "instance-store.sh"):
        (here / "opt" / name).write_text(f'echo "{name} $*" >>"$HERE/calls"\n[ ! -e "$HERE/slow" ]\n')
    script = here / "boot.sh"
    text = script.read_text()
    assert "/usr/share/ollama/.ollama" in text
    script.write_text(text.replace("/usr/share/ollama/.ollama", str(here / "home")))
    return made


def baked(made: Machine) -> Machine:
    """Have it boot once as the machine that bakes does."""
    assert made.boot() == 0
    (made.here / "home/models/blobs").mkdir(parents=True)
    return made


@pytest.mark.parametrize("how", ["prefetch", "provisioned"])
def test_a_baked_machine_reads_its_model_and_ollama_ahead_before_it_serves(tmp_path: Path, how: str):
    made = baked(machine(tmp_path, how))
    assert made.boot() == 0
    assert f"prefetch.sh 600 {tmp_path}/home/models/blobs {tmp_path}/usr/lib/ollama" in made.calls
    told = [line for line in made.told if line.startswith("tell")]
    assert told[-2:] == ["tell reading qwen2.5vl:7b from the disk", "tell serving"]


def test_a_slow_read_ahead_does_not_keep_a_machine_from_serving(tmp_path: Path):
    made = baked(machine(tmp_path, "prefetch"))
    (tmp_path / "slow").touch()
    assert made.boot() == 0
    assert made.told[-2:] == ["tell serving", f"log {tmp_path}/boot.log"]
    assert "not all of it was read ahead" in (tmp_path / "boot.log").read_text()


def test_a_bare_machine_reads_nothing_ahead(tmp_path: Path):
    made = machine(tmp_path, "prefetch")
    assert made.boot() == 0
    assert "prefetch.sh" not in made.calls


def test_on_the_instance_store_the_model_is_pulled_again_and_nothing_is_read_ahead(tmp_path: Path):
    made = baked(machine(tmp_path, "instance_store"))
    assert made.boot() == 0
    assert f"instance-store.sh {tmp_path}/opt/models" in made.calls
    assert "prefetch.sh" not in made.calls
    assert made.calls.index("instance-store.sh") < made.calls.index("systemctl start ollama.service")

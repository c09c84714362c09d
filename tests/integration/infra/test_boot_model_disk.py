"""The boot script and the model's disk: where the model lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.infra.test_boot import Machine

pytestmark = pytest.mark.long("runs a machine's boot script: 3 to 5 s")


@pytest.mark.parametrize(("how", "is_prepared"), [("prefetch", False), ("instance_store", True)])
def test_the_instance_store_is_prepared_before_ollama_starts_where_the_model_is_on_it(
    tmp_path: Path, how: str, is_prepared: bool
):
    machine = Machine(tmp_path, model_disk=how)
    (tmp_path / "opt/instance-store.sh").write_text('echo "instance-store.sh $*" >>"$HERE/calls"\n')
    assert machine.boot() == 0
    before, _, _ = machine.calls.partition("systemctl start ollama.service")
    assert (f"instance-store.sh {tmp_path}/opt/models" in before) is is_prepared

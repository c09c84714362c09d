"""The order of a boot: what happens at the same time, and what waits for what. The commands are stubs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.infra.test_boot import STUBS, Machine, add_gpu

pytestmark = pytest.mark.long("runs a machine's boot script for each test: 1 to 4 s")

LOAD = "--data"


def after(file: str, does: str = ":") -> str:
    """A command that ends when a file of the machine's directory is there."""
    return f'until [ -e "$HERE/{file}" ]; do command -p sleep 0.02; done; {does}'


def only(pattern: str, does: str) -> str:
    """A curl that does something else for requests that match a pattern."""
    return f'case "$*" in *{pattern}*) {does}; exit;; esac\n{STUBS["curl"]}'


def position(machine: Machine, call: str) -> int:
    """Where a command was last called."""
    found = machine.calls.rfind(call)
    assert found >= 0, f"{call!r} was not called"
    return found


@pytest.mark.always
def test_ollama_is_installed_while_the_driver_comes_up_and_starts_when_it_is_there(tmp_path: Path):
    machine = Machine(tmp_path)
    add_gpu(machine)
    machine.stub("nvidia-smi", after("opt/ollama.version"))
    assert machine.boot() == 0
    assert position(machine, "nvidia-smi") < position(machine, "systemctl start ollama.service")


def test_ollama_waits_for_a_driver_that_is_there_last(tmp_path: Path):
    machine = Machine(tmp_path)
    add_gpu(machine)
    machine.stub("nvidia-smi", after("opt/ollama.version", 'mkdir "$HERE/once" 2>/dev/null && exit 9; exit 0'))
    assert machine.boot() == 0
    assert "tell waiting for the GPU" in machine.told
    assert machine.calls.count("nvidia-smi") == 2
    assert position(machine, "nvidia-smi") < position(machine, "systemctl start ollama.service")


def test_the_proxy_is_prepared_while_ollama_is_downloaded_and_opens_after_the_model_was_checked(tmp_path: Path):
    machine = Machine(tmp_path, access="token", model_digest="5ced39dfa4ba")
    machine.stub("nginx", ":")
    machine.stub(
        "curl", only("--output*ollama.tar", after("proxy/token.map", 'printf archive >"$HERE/opt/ollama.tar"'))
    )
    assert machine.boot() == 0
    assert position(machine, "/api/tags") < position(machine, "systemctl restart hearth-proxy.service")


def test_packages_are_installed_one_after_the_other_when_cloud_init_has_set_up_apt(tmp_path: Path):
    machine = Machine(tmp_path, access="token")
    machine.stub("apt-get", 'mkdir "$HERE/busy" && command -p sleep 0.1 && rmdir "$HERE/busy"')
    for name in ("nginx", "zstd"):  # of this computer
        (tmp_path / "boot.sh").write_text(
            (tmp_path / "boot.sh").read_text().replace(f"command -v {name} ", f"command -v no-{name} ")
        )
    assert machine.boot() == 0
    calls = machine.calls.splitlines()
    assert len([call for call in calls if call.startswith("apt-get") and " install " in call]) == 2
    assert calls.index("systemctl start cloud-config.service") < min(
        number for number, call in enumerate(calls) if call.startswith("apt-get")
    )


@pytest.mark.always
def test_the_model_is_loaded_as_soon_as_it_is_there_and_serving_does_not_wait_for_it(tmp_path: Path):
    machine = Machine(tmp_path)
    machine.stub(
        "curl",
        only(LOAD, 'until grep -q "tell serving" "$HERE/told"; do command -p sleep 0.02; done; touch "$HERE/loaded"'),
    )
    assert machine.boot() == 0
    assert position(machine, "ollama pull") < position(machine, f"{LOAD} @{tmp_path}/etc/load.json")
    # A load ends with the request for it: the script, whose service it is a part of, waits for it.
    assert (tmp_path / "loaded").exists()


def test_a_machine_serves_although_its_model_cannot_be_loaded(tmp_path: Path):
    machine = Machine(tmp_path)
    machine.stub("curl", only(LOAD, "exit 22"))
    assert machine.boot() == 0
    assert machine.told[-2:] == ["tell serving", f"log {tmp_path}/boot.log"]
    assert "qwen2.5vl:7b was not loaded" in (tmp_path / "boot.log").read_text()


def test_a_machine_without_a_request_to_load_waits_for_that_of_a_run(tmp_path: Path):
    machine = Machine(tmp_path)
    (tmp_path / "etc/load.json").write_text("")
    assert machine.boot() == 0
    assert LOAD not in machine.calls

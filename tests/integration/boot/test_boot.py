"""From power-on to serving: by the user data of the product, on a machine that boots for real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.boot.fixtures import LIMITS, TOKEN, Ground, Maker, Took, limits_run, stack
from tests.support.boot.machine import Machine
from tests.support.waiting import until

pytestmark = pytest.mark.boot

INSTALLED = ["installing Ollama 0.33.0", "starting Ollama", "pulling qwen2.5vl:7b", "starting the proxy", "serving"]
BLOBS = "/usr/share/ollama/.ollama/models/blobs"
RESTARTED = ["starting Ollama", "starting the proxy", "serving"]


def read(machine: Machine, ground: Ground, token: str) -> tuple[int, str]:
    """Have a page read through the proxy, as a run does from afar; return the status and the response."""
    machine.write("tmp-certificate.pem", ground.certificate)
    asked = json.dumps({"model": "qwen2.5vl:7b", "prompt": "page 1", "stream": False})
    options = ["--silent", "--cacert", "/tmp-certificate.pem", "--resolve", "hearth:11435:127.0.0.1"]
    options += ["--header", f"Authorization: Bearer {token}", "--data", asked, "--write-out", "\n%{http_code}"]
    body, _, status = machine.run("curl", *options, "https://hearth:11435/api/generate").rpartition("\n")
    return int(status), body


def test_a_bare_machine_installs_pulls_and_serves_behind_tls_and_a_token(machine: Maker, ground: Ground, took: Took):
    first = machine("i-0first00000000000")
    first.boot(stack())
    took("a bare machine serves", first.wait_for("serving"))
    assert first.stages == INSTALLED
    assert limits_run(first)
    status, answer = read(first, ground, TOKEN)
    assert (status, json.loads(answer)["response"]) == (200, "read: page 1")
    assert read(first, ground, "x" * 64)[0] == 401
    until(lambda: any(asked["action"] == "Logs_20140328.PutLogEvents" for asked in first.asked))


def test_the_limits_run_before_cloud_init_s_last_stage_begins(machine: Maker):
    first = machine("i-0first00000000000")
    first.boot(stack())
    until(lambda: first.state("cloud-final.service", "ActiveState") == "active", every=0.2)
    final = int(first.state("cloud-final.service", "ExecMainStartTimestampMonotonic"))
    assert all(int(first.state(unit, "ActiveEnterTimestampMonotonic")) < final for unit in LIMITS)


@pytest.mark.parametrize("stage", ["cloud-config", "cloud-final"])
def test_a_stage_of_cloud_init_that_never_ends_keeps_neither_the_limits_nor_serving_waiting(machine: Maker, stage: str):
    stuck = machine("i-0first00000000000")
    stuck.write(f"/etc/systemd/system/{stage}.service.d/stuck.conf", "[Service]\nExecStartPre=sleep infinity\n")
    stuck.boot(stack())
    until(lambda: stuck.state(f"{stage}.service", "ActiveState") == "activating", every=0.2)
    until(lambda: limits_run(stuck), every=0.2)
    stuck.wait_for("serving")


def test_a_machine_that_was_stopped_serves_again_without_installing_anything(
    machine: Maker, ground: Ground, took: Took
):
    again = machine("i-0first00000000000")
    again.boot(stack())
    again.wait_for("serving")
    again.power_off()
    again.boot(stack())
    took("a machine that was stopped serves", again.wait_for("serving"))
    assert again.stages == RESTARTED
    assert limits_run(again)
    assert read(again, ground, TOKEN)[0] == 200


def test_a_machine_of_a_baked_image_serves_by_its_own_settings(machine: Maker, baked: Path, took: Took):
    new = machine("i-0new0000000000000", baked)
    new.boot(stack(watchdog_minutes=7, lifetime_hours=3))
    took("a machine of a baked image serves", new.wait_for("serving"))
    assert new.stages == RESTARTED
    assert "HEARTH_IDLE_SECONDS=420" in new.run("cat", "/etc/hearth/machine.env")
    assert new.state("hearth-lifetime.timer", "TimersMonotonic").startswith("{ OnBootUSec=3h 5min ;")
    watchdog = new.state("hearth-watchdog.service", "MainPID")
    assert "HEARTH_IDLE_SECONDS=420" in new.run("cat", f"/proc/{watchdog}/environ").split("\0")


def test_a_machine_loads_its_model_before_anybody_asks_for_it(machine: Maker, baked: Path):
    new = machine("i-0new0000000000000", baked)
    new.boot(stack())
    until(lambda: "load ends" in new.events, every=0.2)
    assert "page begins" not in new.events


def test_a_page_waits_for_the_load_that_the_machine_has_begun(machine: Maker, baked: Path, ground: Ground):
    new = machine("i-0new0000000000000", baked)
    new.write("/etc/ollama-seconds.json", '{"load": 3}')
    new.boot(stack())
    new.wait_for("serving")
    assert read(new, ground, TOKEN)[0] == 200
    assert new.events == ["load begins", "load ends", "page begins", "page ends"]


def test_a_baked_model_is_read_ahead_once_and_from_before_cloud_init_on(machine: Maker, baked: Path):
    new = machine("i-0new0000000000000", baked)
    new.write(f"{BLOBS}/sha256-0", "x" * (2 << 20))
    new.boot(stack())
    new.wait_for("serving")
    # cloud-init starts the unit, too: a second start would be later.
    begun = int(new.state("hearth-prefetch.service", "ExecMainStartTimestampMonotonic"))
    assert 0 < begun < int(new.state("cloud-init.service", "ExecMainStartTimestampMonotonic"))


def test_a_baked_image_serves_within_its_limits_where_cloud_init_does_not_run(machine: Maker, baked: Path):
    new = machine("i-0new0000000000000", baked)
    new.write("/etc/cloud/cloud-init.disabled", "")
    new.boot(stack())
    new.wait_for("serving")
    assert limits_run(new)

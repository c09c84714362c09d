"""What a machine is sent: judged by the tools that will read it."""

import base64
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra_scripts.ec2.pool import Ec2Stack
from infra_scripts.ec2.user_data import (
    MAX_USER_DATA_BYTES,
    cloud_config,
    machine_environment,
    ollama_environment,
    user_data,
)
from tests.support.infra.pools import pool
from tests.support.tools import CLOUD_INIT, SYSTEMD_ANALYZE, needs

ACCESSES = ("private", "token", "tunnel")
# cloud-init's schema lets a misspelled key pass.
KEYS = {"bootcmd"}


@pytest.fixture(params=ACCESSES)
def stack(request: pytest.FixtureRequest) -> Ec2Stack:
    return pool(access=request.param)


def config(stack: Ec2Stack) -> dict[str, Any]:
    head, _, body = cloud_config(stack).partition("\n")
    assert head == "#cloud-config"
    parsed: dict[str, Any] = json.loads(body)
    return parsed


def command(stack: Ec2Stack) -> list[str]:
    (only,) = config(stack)["bootcmd"]
    parts: list[str] = only
    return parts


def units(stack: Ec2Stack) -> list[str]:
    """The units that start at each boot."""
    return command(stack)[4].split()


def files(stack: Ec2Stack) -> dict[str, dict[str, str]]:
    parts = iter(command(stack)[5:])
    return {
        path: {"permissions": permissions, "content": content}
        for permissions, path, content in zip(parts, parts, parts, strict=True)
    }


def unpacked(stack: Ec2Stack, directory: Path) -> Path:
    for path, file in files(stack).items():
        target = directory / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file["content"])
        target.chmod(int(file["permissions"], 8))
    return directory


class TestCloudConfig:
    def test_it_fits_into_what_ec2_takes_with_room_to_spare(self, stack: Ec2Stack):
        packed = base64.b64decode(user_data(stack))
        assert len(packed) < MAX_USER_DATA_BYTES * 0.9
        assert gzip.decompress(packed).decode() == cloud_config(stack)

    def test_it_is_the_same_each_time(self, stack: Ec2Stack):
        assert user_data(stack) == user_data(stack)

    def test_its_keys_are_cloud_inits(self, stack: Ec2Stack):
        assert set(config(stack)) == KEYS
        assert command(stack)[:2] == ["sh", "-c"]

    @needs(CLOUD_INIT)
    def test_cloud_inits_own_schema_accepts_it(self, stack: Ec2Stack, tmp_path: Path):
        (tmp_path / "user-data").write_text(cloud_config(stack))
        done = subprocess.run(
            [CLOUD_INIT.command, "schema", "--config-file", "user-data"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_what_runs_at_each_boot_may_be_run(self, stack: Ec2Stack):
        assert files(stack)["/opt/hearth/boot.sh"]["permissions"] == "0755"

    def test_the_settings_are_roots_alone(self, stack: Ec2Stack):
        assert files(stack)["/etc/hearth/machine.env"]["permissions"] == "0600"

    def test_the_proxy_is_there_in_token_mode_alone(self, stack: Ec2Stack):
        assert ("/etc/hearth/nginx.conf" in files(stack)) == (stack.access == "token")

    def test_ollama_listens_outside_the_machine_in_private_mode_alone(self, stack: Ec2Stack):
        outside = ollama_environment(stack)["OLLAMA_HOST"] == "0.0.0.0:11434"
        assert outside == (stack.access == "private")

    def test_the_hard_limit_comes_after_the_one_with_notice(self, stack: Ec2Stack):
        timer = files(stack)["/etc/systemd/system/hearth-lifetime.timer"]["content"]
        found = re.search(r"^OnBootSec=(\d+)min$", timer, re.MULTILINE)
        assert found
        assert int(found[1]) * 60 > float(machine_environment(stack)["HEARTH_LIFETIME_SECONDS"])

    def test_machines_carry_their_metrics_program_where_it_is_asked_for_alone(self, stack: Ec2Stack):
        carried = {"/opt/hearth/metrics.py", "/opt/hearth/gpu.py", "/etc/systemd/system/hearth-metrics.service"}
        assert not carried & set(files(stack))
        asked = pool(access=stack.access, metrics=True)
        assert carried <= set(files(asked))
        assert "HEARTH_METRICS=yes\n" in files(asked)["/etc/hearth/machine.env"]["content"]
        assert len(base64.b64decode(user_data(asked))) < MAX_USER_DATA_BYTES * 0.9

    def test_no_secret_is_in_it(self):
        assert "token.map" in cloud_config(pool(access="token"))
        assert "PRIVATE KEY" not in cloud_config(pool(access="token"))


class TestScripts:
    def test_bash_and_shellcheck_find_nothing_wrong(self, stack: Ec2Stack, tmp_path: Path):
        boot, install = unpacked(stack, tmp_path) / "opt/hearth/boot.sh", tmp_path / "install.sh"
        install.write_text(command(stack)[2])
        subprocess.run(["bash", "-n", boot], check=True)
        done = subprocess.run(
            [Path(sys.executable).with_name("shellcheck"), boot, install],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def test_a_file_that_cannot_be_written_leaves_the_old_one_and_the_units_start(self, tmp_path: Path):
        systemctl = tmp_path / "systemctl"
        systemctl.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/calls\n')
        systemctl.chmod(0o755)
        kept, new = tmp_path / "kept", tmp_path / "some/new"
        kept.write_text("old")
        (tmp_path / "kept.new").mkdir()  # so that nothing can be written there
        script = command(pool())[2].replace("rm -f /var", f"rm -f {tmp_path}/var").replace(" /etc", f" {tmp_path}/etc")
        files = ["0644", str(kept), "young", "0600", str(new), "content\n"]
        subprocess.run(
            ["sh", "-c", script, "hearth", "a.timer b.service", *files],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            stderr=subprocess.DEVNULL,
            check=True,
        )
        assert kept.read_text() == "old"
        assert (new.read_text(), new.stat().st_mode & 0o777) == ("content\n", 0o600)
        assert (tmp_path / "calls").read_text().splitlines() == [
            "enable a.timer b.service",
            "restart --no-block hearth-lifetime.timer hearth-watchdog.service",
            "start --no-block a.timer b.service",
        ]

    def test_secrets_are_kept_in_memory_alone(self):
        script = files(pool(access="token"))["/opt/hearth/boot.sh"]["content"]
        assert "secrets=/run/hearth-proxy" in script
        assert "umask 077" in script


class TestUnits:
    @needs(SYSTEMD_ANALYZE)
    def test_systemd_finds_nothing_wrong(self, stack: Ec2Stack, tmp_path: Path):
        root = unpacked(stack, tmp_path)
        units = [str(unit) for unit in sorted((root / "etc/systemd/system").iterdir()) if unit.is_file()]
        done = subprocess.run(
            [SYSTEMD_ANALYZE.command, "verify", "--man=no", *units], capture_output=True, text=True, check=False
        )
        # The programs of the units are a machine's, not this one's.
        ours = [line for line in done.stderr.splitlines() if "is not executable" not in line and str(root) in line]
        assert not ours

    def test_a_watchdog_that_cannot_run_powers_the_machine_off(self, stack: Ec2Stack):
        unit = files(stack)["/etc/systemd/system/hearth-watchdog.service"]["content"].splitlines()
        assert {"Restart=always", "StartLimitAction=poweroff", "WatchdogSec=180"} <= set(unit)

    def test_the_limits_start_at_every_boot_and_wait_for_nothing_of_it(self, stack: Ec2Stack):
        for unit in ("hearth-watchdog.service", "hearth-lifetime.timer"):
            assert unit in units(stack)
            lines = set(files(stack)[f"/etc/systemd/system/{unit}"]["content"].splitlines())
            assert {"DefaultDependencies=no", "IgnoreOnIsolate=yes", "WantedBy=sysinit.target"} <= lines
            assert not [line for line in lines if line.startswith(("After=", "Requires="))]

    def test_a_service_that_does_not_end_holds_a_power_off_up_for_a_minute_at_most(self, stack: Ec2Stack):
        lines = files(stack)["/etc/systemd/system/poweroff.target.d/hearth.conf"]["content"].splitlines()
        assert {"JobTimeoutSec=60s", "JobTimeoutAction=poweroff-force"} <= set(lines)

    def test_every_unit_that_starts_at_each_boot_says_when(self, stack: Ec2Stack):
        started = units(pool(access=stack.access, metrics=True))
        carried = files(pool(access=stack.access, metrics=True))
        assert "hearth-metrics.service" in started
        for unit in started:
            assert "\nWantedBy=" in carried[f"/etc/systemd/system/{unit}"]["content"]

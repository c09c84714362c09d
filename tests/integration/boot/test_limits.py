"""What ends a machine, whatever else fails: by the units and programs of the product, under a real systemd."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra_scripts.ec2.pool import Ec2Stack
from infra_scripts.ec2.user_data import machine_environment
from tests.support.boot.fixtures import Maker, Took, limits_run, stack
from tests.support.boot.machine import Machine
from tests.support.waiting import until

pytestmark = pytest.mark.boot

NEW = "i-0new0000000000000"
SHORT = {"watchdog_minutes": 0.2, "boot_seconds": 25.0}
"""Limits that the settings refuse: no machine is to go in less than a minute."""
HARD_LIMIT = "/etc/systemd/system/hearth-lifetime.timer.d/soon.conf"
SOON = "[Timer]\nOnBootSec=\nOnBootSec=25s\n"
WATCHDOG_ASLEEP = "[Service]\nType=exec\nWatchdogSec=0\nExecStart=\nExecStart=/bin/sleep infinity\n"


def short(**changed: object) -> Ec2Stack:
    return stack().model_copy(update={**SHORT, **changed})


def tell(machine: Machine, settings: Ec2Stack) -> None:
    """Write settings on its disk, which cloud-init does not write there."""
    told = machine_environment(settings)
    machine.write("/etc/hearth/machine.env", "".join(f"{name}={value}\n" for name, value in told.items()))


def asleep(machine: Machine) -> None:
    """The hard limit is soon, and the watchdog does nothing."""
    machine.write(HARD_LIMIT, SOON)
    machine.write("/etc/systemd/system/hearth-watchdog.service.d/asleep.conf", WATCHDOG_ASLEEP)


def test_a_machine_that_nobody_uses_powers_itself_off(machine: Maker, baked: Path, took: Took):
    idle = machine(NEW, baked)
    idle.boot(short())
    idle.wait_for("serving")
    took("a machine of a baked image, idle for 12 s, is off", idle.wait_until_off())
    assert "Powering off: nobody used it for 12 seconds." in idle.journal("hearth-watchdog")


def test_a_machine_that_does_not_get_to_serving_says_where_and_powers_itself_off(machine: Maker, took: Took):
    bare = machine(NEW)
    bare.unpublish()
    bare.boot(short())
    took("a bare machine without Ollama's release, given 25 s, is off", bare.wait_until_off())
    assert bare.stages[-1] == "failed: installing Ollama 0.33.0"
    assert "Powering off: Ollama did not answer in 25 seconds." in bare.journal("hearth-watchdog")


def test_a_machine_at_its_age_says_so_before_it_powers_itself_off(machine: Maker, baked: Path):
    old = machine(NEW, baked)
    old.boot(short(watchdog_minutes=15, lifetime_hours=25 / 3600))
    old.wait_until_off()
    assert [notice.split()[1] for notice in old.notices] == ["lifetime"]
    assert "has reached its lifetime of" in old.journal("hearth-watchdog")


def test_a_watchdog_that_cannot_run_powers_the_machine_off(machine: Maker, baked: Path, took: Took):
    broken = machine(NEW, baked)
    broken.write("/etc/cloud/cloud-init.disabled", "")  # which would write the program anew
    broken.write("/opt/hearth/machine.py", "raise SystemExit(1)\n")
    broken.boot(stack())
    took("a machine whose watchdog cannot run is off", broken.wait_until_off())


def test_a_watchdog_that_dies_is_started_anew_and_its_clocks_go_on(machine: Maker, baked: Path):
    new = machine(NEW, baked)
    new.boot(stack())
    new.wait_for("serving")
    state = new.run("grep", "-o", '"started": [0-9.]*', "/run/hearth/watch.json")
    first = new.state("hearth-watchdog.service", "MainPID")
    new.run("kill", "-KILL", first)
    until(lambda: new.state("hearth-watchdog.service", "MainPID") not in {first, "0", ""}, every=0.2)
    until(lambda: new.state("hearth-watchdog.service", "ActiveState") == "active", every=0.2)
    assert new.run("grep", "-o", '"started": [0-9.]*', "/run/hearth/watch.json") == state


def test_the_hard_limit_needs_no_watchdog(machine: Maker, baked: Path, took: Took):
    new = machine(NEW, baked)
    asleep(new)
    new.boot(stack())
    took("a machine whose hard limit is 25 s is off", new.wait_until_off())


def broken(machine: Machine) -> None:
    """Its file systems do not come up, so that systemd gives up the boot."""
    unit = "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/false\n"
    machine.write("/etc/systemd/system/broken.service", unit)
    needed = "[Unit]\nRequires=broken.service\nAfter=broken.service\n"
    machine.write("/etc/systemd/system/local-fs.target.d/broken.conf", needed)


@pytest.mark.parametrize("limit", ["watchdog", "hard limit"])
def test_a_machine_that_is_stuck_in_emergency_mode_is_ended_by_either_limit(machine: Maker, baked: Path, limit: str):
    new = machine(NEW, baked)
    broken(new)
    if limit == "hard limit":
        asleep(new)
    new.write("/etc/cloud/cloud-init.disabled", "")
    if limit == "watchdog":
        tell(new, short())
    new.boot(stack())
    until(lambda: new.state("emergency.target", "ActiveState") == "active", every=0.2)
    new.wait_until_off()


def test_a_spot_notice_is_published_within_seconds(machine: Maker, baked: Path):
    new = machine(NEW, baked)
    new.boot(stack())
    new.wait_for("serving")
    new.interrupt(120)
    until(lambda: new.notices, every=0.1)
    assert new.notices[0].endswith("Z spot-interruption")


FULL = """
mkdir "$disk/full"
mount -t tmpfs -o size=64m tmpfs "$disk/full"
mkdir "$disk/full/work" "$disk/full/all"
cp --archive "$disk/upper" "$disk/full/upper"
rm -rf "$disk/full/upper/var/log/journal"
cat /dev/zero >"$disk/full/upper/var/fill" 2>/dev/null || true
disk=$disk/full
"""


def test_a_machine_with_a_full_disk_has_the_limits_that_are_on_it(machine: Maker, baked: Path, took: Took):
    full = machine(NEW, baked)
    tell(full, short())
    full.boot(stack(), FULL)
    until(lambda: limits_run(full), every=0.2)
    assert full.run("df", "--output=pcent", "/").split()[-1] == "100%"
    took("a machine with a full disk is off", full.wait_until_off())


OLD_UNIT = """\
[Service]
Type=oneshot
RemainAfterExit=yes
EnvironmentFile=/etc/hearth/machine.env
ExecStart=/usr/sbin/shutdown -P +${HEARTH_LIFETIME_MINUTES}
[Install]
WantedBy=multi-user.target
"""


def test_a_machine_of_an_image_that_an_earlier_version_baked_boots_once(machine: Maker, baked: Path):
    new = machine(NEW, baked)
    new.write("/var/lib/cloud/scripts/per-boot/hearth", "#!/bin/sh\ntouch /booted-twice\n")
    (new.image / "var/lib/cloud/scripts/per-boot/hearth").chmod(0o755)
    new.write("/etc/systemd/system/hearth-lifetime.service", OLD_UNIT)
    wanted = new.image / "etc/systemd/system/multi-user.target.wants/hearth-lifetime.service"
    wanted.symlink_to("/etc/systemd/system/hearth-lifetime.service")
    new.boot(stack())
    new.wait_for("serving")
    until(lambda: new.state("cloud-final.service", "ActiveState") == "active", every=0.2)
    assert new.stages == ["starting Ollama", "starting the proxy", "serving"]
    assert not (new.image / "booted-twice").exists()
    assert limits_run(new)

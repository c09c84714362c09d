"""The boot script, run by a real bash; the commands that it calls are stubs that record their arguments."""

from __future__ import annotations

import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from infra_scripts.ec2.user_data import machine_environment
from tests.support.infra.machine_stubs import MACHINE
from tests.support.infra.pools import pool

pytestmark = pytest.mark.long("runs a machine's boot script for each test: 1 to 4 s")

TOKEN = "ab" * 32
DIGEST = sha256(b"archive").hexdigest()
MODEL_DIGEST = "5ced39dfa4ba" + "0" * 52
# As releases have it: other archives, and names with a dot and a slash.
SUMS = "".join(
    f"{digest}  ./ollama-linux-{name}\n"
    for digest, name in [("0" * 64, "arm64.tar.zst"), (DIGEST, "amd64.tar.zst"), (DIGEST, "amd64.tgz")]
)
# What the stubs do beside writing themselves down: an archive holds Ollama, a pull makes the model known.
STUBS = {
    "curl": """case "$*" in
*/sha256sum.txt*) cp "$HERE/sums" "$HERE/opt/sha256sum.txt";;
*--output*ollama.tar*) printf archive >"$HERE/opt/ollama.tar";;
*/api/tags*) cat "$HERE/tags";;
esac""",
    "tar": 'mkdir -p "$HERE/usr/bin"; cp "$HERE/ollama" "$HERE/usr/bin/ollama"',
    "zstd": ":",
    "systemctl": ":",
    "apt-get": ":",
    "useradd": ":",
    "usermod": ":",
    "getent": "false",
    "sleep": ":",
}
OLLAMA = """#!/bin/bash
echo "ollama $*" >>"$HERE/calls"
case $1 in pull) touch "$HERE/$2";; show) test -e "$HERE/$2";; esac
"""
PROGRAM = f"""
import os, sys
open(os.environ["HERE"] + "/told", "a").write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "parameter":
    print("{TOKEN}" if sys.argv[2].endswith("/token") else "PEM of " + sys.argv[2])
"""


def add_gpu(machine: Machine) -> None:
    """Give a machine a GPU of NVIDIA's; whether its driver is there is nvidia-smi's to say."""
    card = machine.here / "sys/pci/devices/0000:00:1e.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text("0x10de\n")


class Machine:
    """A directory that stands for a machine's disk."""

    def __init__(self, here: Path, access: str = "private", **changed: str) -> None:
        self.here = here
        (here / "sums").write_text(SUMS)
        (here / "tags").write_text(json.dumps({"models": [{"name": "qwen2.5vl:7b", "digest": MODEL_DIGEST}]}))
        for name in ("opt", "etc", "bin", "sys"):
            (here / name).mkdir()
        for name, does in STUBS.items():
            self.stub(name, does)
        (here / "ollama").write_text(OLLAMA)
        (here / "ollama").chmod(0o755)
        (here / "opt/machine.py").write_text(PROGRAM)
        (here / "etc/load.json").write_text("{}")
        told = machine_environment(pool(access=access, **changed))
        (here / "etc/machine.env").write_text("".join(f"{name}={value}\n" for name, value in told.items()))
        script = (MACHINE / "boot.sh").read_text()
        for theirs, ours in {
            "/etc/hearth": here / "etc",
            "/opt/hearth": here / "opt",
            "/usr/local": here / "usr",
            "/var/log/hearth-boot.log": here / "boot.log",
            "/run/hearth-proxy": here / "proxy",
            "/sys/bus": here / "sys",
        }.items():
            assert theirs in script
            script = script.replace(theirs, str(ours))
        (here / "boot.sh").write_text(script)

    def stub(self, name: str, does: str) -> None:
        path = self.here / "bin" / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>"$HERE/calls"\n{does}\n')
        path.chmod(0o755)

    def boot(self) -> int:
        for name in ("calls", "told"):
            (self.here / name).write_text("")
        environment = {"PATH": f"{self.here / 'bin'}:{os.environ['PATH']}", "HERE": str(self.here)}
        done = subprocess.run(["bash", self.here / "boot.sh"], env=environment, check=False)
        return done.returncode

    @property
    def told(self) -> list[str]:
        return (self.here / "told").read_text().splitlines()

    @property
    def calls(self) -> str:
        return (self.here / "calls").read_text()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.always
def test_a_bare_machine_installs_pulls_and_serves_and_reports_each_step(machine: Machine):
    assert machine.boot() == 0
    assert [line for line in machine.told if line.startswith("tell")] == [
        "tell installing Ollama 0.33.0",
        "tell starting Ollama",
        "tell pulling qwen2.5vl:7b",
        "tell serving",
    ]
    assert "releases/download/v0.33.0/ollama-linux-amd64.tar.zst" in machine.calls


@pytest.mark.always
def test_an_installed_ollama_and_a_pulled_model_are_kept(machine: Machine):
    machine.boot()
    assert machine.boot() == 0
    assert [line for line in machine.told if line.startswith("tell")] == ["tell starting Ollama", "tell serving"]
    assert "ollama-linux" not in machine.calls
    assert "ollama pull" not in machine.calls


def test_another_version_replaces_the_installed_one(machine: Machine):
    machine.boot()
    (machine.here / "opt/ollama.version").write_text("0.24.0\n")
    machine.boot()
    assert "tell installing Ollama 0.33.0" in machine.told


def test_an_old_version_is_installed_from_its_tgz(machine: Machine):
    machine.stub("curl", f'case "$*" in *--head*) exit 22;; esac\n{STUBS["curl"]}')
    assert machine.boot() == 0
    assert "ollama-linux-amd64.tgz" in machine.calls


def refused(machine: Machine) -> str:
    """Why a machine ended itself; nothing of what it had downloaded was used."""
    assert machine.boot() == 1
    assert machine.calls.rstrip().endswith("systemctl poweroff")
    assert machine.told[-1] == f"log {machine.here / 'boot.log'}"
    return machine.told[-2]


def test_an_archive_with_a_wrong_digest_is_not_unpacked_and_the_machine_ends(machine: Machine):
    (machine.here / "sums").write_text(SUMS.replace(DIGEST, "1" * 64))
    assert refused(machine).startswith("tell failed: ollama-linux-amd64.tar.zst of Ollama 0.33.0 has the digest ")
    assert "tar " not in machine.calls.replace("ollama.tar ", "")
    assert not (machine.here / "opt/ollama.tar").exists()
    assert not (machine.here / "usr/bin/ollama").exists()


def test_an_archive_that_the_release_does_not_list_is_refused(machine: Machine):
    (machine.here / "sums").write_text("<html>not found</html>\n")
    assert "names no digest of ollama-linux-amd64.tar.zst" in refused(machine)


def test_the_digest_in_the_settings_overrides_that_of_the_release(tmp_path: Path):
    machine = Machine(tmp_path, ollama_sha256=DIGEST)
    (tmp_path / "sums").write_text("")
    assert machine.boot() == 0
    assert "sha256sum.txt" not in machine.calls


def test_an_archive_with_another_digest_than_the_settings_is_refused(tmp_path: Path):
    assert f"not {'2' * 64}" in refused(Machine(tmp_path, ollama_sha256="2" * 64))


def test_ollama_is_installed_again_if_another_digest_is_required(machine: Machine):
    assert machine.boot() == 0
    with (machine.here / "etc/machine.env").open("a") as settings:
        settings.write(f"HEARTH_OLLAMA_SHA256={DIGEST}\n")
    assert machine.boot() == 0
    assert "tell installing Ollama 0.33.0" in machine.told
    assert machine.boot() == 0
    assert "tell installing Ollama 0.33.0" not in machine.told


def test_only_https_is_downloaded(machine: Machine):
    machine.boot()
    fetched = [line for line in machine.calls.splitlines() if "github" in line]
    assert len(fetched) == 3
    assert all("--proto =https" in line for line in fetched)


def test_a_model_of_another_digest_is_refused_and_not_loaded_even_if_it_was_pulled_before(tmp_path: Path):
    machine = Machine(tmp_path, model_digest="5ced39dfa4bb")
    (tmp_path / "qwen2.5vl:7b").touch()
    assert refused(machine) == f"tell failed: qwen2.5vl:7b has the digest {MODEL_DIGEST}, not 5ced39dfa4bb"
    assert "load.json" not in machine.calls


def test_a_model_with_the_digest_of_the_settings_is_served(tmp_path: Path):
    machine = Machine(tmp_path, model_digest=MODEL_DIGEST[:12])
    assert machine.boot() == 0
    assert machine.told[-2] == "tell serving"


def test_a_failed_step_is_reported_with_the_log(machine: Machine):
    machine.stub("curl", 'case "$*" in *--head*) ;; *) exit 6;; esac')
    assert machine.boot() == 1
    assert machine.told[-2:] == ["tell failed: installing Ollama 0.33.0", f"log {machine.here / 'boot.log'}"]


def test_a_pull_is_tried_three_times(machine: Machine):
    (machine.here / "ollama").write_text('#!/bin/bash\necho "ollama $*" >>"$HERE/calls"\nexit 1\n')
    assert machine.boot() == 1
    assert machine.calls.count("ollama pull") == 3
    assert "tell failed: pulling qwen2.5vl:7b" in machine.told


def test_a_gpu_without_a_working_driver_is_a_failure(machine: Machine):
    add_gpu(machine)
    machine.stub("timeout", "exit 124")
    assert machine.boot() == 1
    assert "tell failed: waiting for the GPU" in machine.told


def test_with_access_by_token_the_secrets_are_in_memory_for_root_only_and_in_no_log(tmp_path: Path):
    machine = Machine(tmp_path, access="token")
    machine.stub("nginx", ":")
    assert machine.boot() == 0
    secrets = tmp_path / "proxy"
    assert (secrets / "token.map").read_text() == f'"~^Bearer {TOKEN}$" 1;\n'
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in secrets.iterdir())
    assert "systemctl restart hearth-proxy.service" in machine.calls
    assert TOKEN not in (tmp_path / "boot.log").read_text()


def test_an_invalid_token_is_a_failure(tmp_path: Path):
    machine = Machine(tmp_path, access="token")
    machine.stub("nginx", ":")
    (tmp_path / "opt/machine.py").write_text(PROGRAM.replace(TOKEN, ".*"))
    assert machine.boot() == 1
    assert "tell failed: preparing the proxy" in machine.told
    assert "hearth-proxy.service" not in machine.calls

"""How a new machine comes by its model: the scripts, run for real, over files and stubs that write down their calls."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.infra.machine_stubs import MACHINE
from tests.support.waiting import PATIENCE

MIB = 1 << 20
PART = 64 * MIB
RECORD = '#!/bin/sh\necho "$*" >> "$HERE/dd"\n'
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a script with programs of the test's own before the machine's."""
    (tmp_path / "bin").mkdir()

    def run(script: Path, *arguments: object, **programs: str) -> subprocess.CompletedProcess[str]:
        for name, text in programs.items():
            path = tmp_path / "bin" / name.replace("_", ".")
            path.write_text(text)
            path.chmod(0o755)
        environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HERE": str(tmp_path)}
        command = ["bash", str(script), *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE)

    return run


def sparse(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


class TestPrefetch:
    script = MACHINE / "prefetch.sh"

    def test_each_large_file_is_read_whole_and_nothing_twice(self, run: Run, tmp_path: Path):
        sizes = {"a blob": 3 * PART + 5, "exact": 2 * PART, "lib.so": 2 * MIB}
        for name, size in sizes.items():
            sparse(tmp_path / "models" / name, size)
        sparse(tmp_path / "models" / "manifest", 500)
        assert run(self.script, 60, tmp_path / "models", dd=RECORD).returncode == 0
        read: dict[str, list[int]] = {}
        for line in (tmp_path / "dd").read_text().splitlines():
            told = dict(each.partition("=")[::2] for each in line.replace("a blob", "a_blob").split())
            assert (told["bs"], told["count"], told["of"]) == ("1M", "64", "/dev/null")
            name = Path(told["if"]).name.replace("_", " ")
            read.setdefault(name, []).append(int(told["skip"]) * MIB)
        assert {name: sorted(starts) for name, starts in read.items()} == {
            name: list(range(0, size, PART)) for name, size in sizes.items()
        }

    def test_many_parts_are_read_at_the_same_time(self, run: Run, tmp_path: Path):
        sparse(tmp_path / "models" / "blob", 16 * PART)
        # None of them ends before all sixteen have begun.
        begun = 'mktemp "$HERE/in.XXXXXX" >/dev/null'
        waits = f'#!/bin/sh\n{begun}\nwhile [ "$(ls "$HERE" | grep -c ^in)" -lt 16 ]; do sleep 0.05; done\n'
        assert run(self.script, 50, tmp_path / "models", dd=waits).returncode == 0

    def test_the_real_dd_reads_real_files(self, run: Run, tmp_path: Path):
        sparse(tmp_path / "models" / "blob", PART + 5)
        assert run(self.script, 60, tmp_path / "models").returncode == 0

    def test_what_takes_too_long_is_cut_off_and_said(self, run: Run, tmp_path: Path):
        sparse(tmp_path / "models" / "blob", PART)
        assert run(self.script, 0.2, tmp_path / "models", dd="#!/bin/sh\nexec sleep 1000\n").returncode == 124

    def test_a_directory_that_is_not_there_leaves_the_others_read(self, run: Run, tmp_path: Path):
        sparse(tmp_path / "models" / "blob", PART)
        run(self.script, 60, tmp_path / "none", tmp_path / "models", dd=RECORD)
        assert len((tmp_path / "dd").read_text().splitlines()) == 1


class TestInstanceStore:
    def script(self, tmp_path: Path) -> Path:
        """The script with the machine's places below the test's directory."""
        text = (MACHINE / "instance-store.sh").read_text()
        for theirs in ("/opt/hearth/nvme", "/opt/dlami/nvme", "/dev/disk/by-id"):
            assert theirs in text
            text = text.replace(theirs, f"{tmp_path}{theirs}")
        (tmp_path / "instance-store.sh").write_text(text)
        return tmp_path / "instance-store.sh"

    def stubs(self, **changed: str) -> dict[str, str]:
        record = '#!/bin/sh\necho "$(basename "$0") $*" >> "$HERE/calls"\n'
        return {"mountpoint": "#!/bin/sh\nexit 1\n", "mkfs_ext4": record, "mount": record, "chown": record, **changed}

    def calls(self, tmp_path: Path) -> str:
        return (tmp_path / "calls").read_text()

    def test_the_machines_own_nvme_is_formatted_mounted_and_led_to(self, run: Run, tmp_path: Path):
        devices = tmp_path / "dev/disk/by-id"
        for name in ("nvme-Amazon_Elastic_Block_Store_vol1", "nvme-Amazon_EC2_NVMe_Instance_Storage_AWS1"):
            sparse(devices / name, 0)
        done = run(self.script(tmp_path), tmp_path / "models", **self.stubs())
        assert done.returncode == 0, done.stderr
        calls = self.calls(tmp_path)
        assert f"mkfs.ext4 -q -F -E nodiscard {devices}/nvme-Amazon_EC2_NVMe_Instance_Storage_AWS1" in calls
        assert "Elastic_Block_Store" not in calls  # the root disk is one
        assert (tmp_path / "models").resolve() == tmp_path / "opt/hearth/nvme/models"
        assert f"chown ollama: {tmp_path}/opt/hearth/nvme/models" in calls

    def test_what_the_deep_learning_ami_has_mounted_is_used_as_it_is(self, run: Run, tmp_path: Path):
        mounted = f'#!/bin/sh\n[ "$2" = "{tmp_path}/opt/dlami/nvme" ]\n'
        assert run(self.script(tmp_path), tmp_path / "models", **self.stubs(mountpoint=mounted)).returncode == 0
        assert "mkfs" not in self.calls(tmp_path)
        assert (tmp_path / "models").resolve() == tmp_path / "opt/dlami/nvme/models"

    def test_a_machine_without_one_has_its_models_on_the_root_disk_and_says_so(self, run: Run, tmp_path: Path):
        done = run(self.script(tmp_path), tmp_path / "models", **self.stubs())
        assert done.returncode == 0
        assert "is stored on the root disk" in done.stdout
        assert "mkfs" not in self.calls(tmp_path)
        assert (tmp_path / "models").is_dir()

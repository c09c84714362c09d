"""The disk that machines of these tests start from: Debian with systemd, cloud-init and nginx."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.tools import Tool

MMDEBSTRAP = Tool("mmdebstrap", "it makes the root of a machine that boots")
NSPAWN = Tool("systemd-nspawn", "a machine boots in its container")
_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "cloud-init", "nginx-light"),
    *("python3", "curl", "zstd", "iproute2", "ca-certificates"),
)
_CLOUD_INIT = """\
datasource_list: [NoCloud, None]
# A minimal root has no locales.
locale: false
"""


# It mounts the host's /proc and /sys into the root: here out of everybody's sight, and all of it ends with its parent.
_ALONE = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")


def why_not() -> str | None:
    """Say why no machine can boot here; None if one can."""
    if os.geteuid() != 0:
        return "a container with systemd needs root: `sudo make test-boot`"
    for tool in (MMDEBSTRAP, NSPAWN):
        if not tool.path:
            return tool.missing
    tried = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", _TRIAL]
    done = subprocess.run(tried, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"a container cannot be made here ({done.stderr.strip() or done.returncode}): allow mounts and overlayfs"
    return None


_TRIAL = """
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/lower /mnt/upper /mnt/work /mnt/all
mount -t overlay overlay -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work /mnt/all
ip link set lo up
"""


def make_root(root: Path, certificate: str, hosts: dict[str, str]) -> None:
    """Make the root, which trusts a certificate and knows the addresses of hosts.

    Raises:
        CalledProcessError: Debian's mirror is out of reach, for example.
    """
    made = ["--quiet", "--variant=minbase", f"--include={','.join(_PACKAGES)}"]
    # A mirror that stands still will do, too.
    made += ['--aptopt=Acquire::Check-Valid-Until "false"', "bookworm", str(root)]
    subprocess.run([*_ALONE, MMDEBSTRAP.command, *made], check=True)
    (root / "etc/cloud/cloud.cfg.d/99-boot-tests.cfg").write_text(_CLOUD_INIT)
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{at} {name}\n" for name, at in hosts.items()))
    (root / "usr/local/share/ca-certificates/boot-tests.crt").write_text(certificate)
    # The journal outlives the machine, and tells what happened on it.
    (root / "var/log/journal").mkdir(exist_ok=True)
    subprocess.run(["chroot", root, "update-ca-certificates"], check=True, capture_output=True)
    # boot.sh masks it where it installs nginx.
    subprocess.run(["chroot", root, "systemctl", "mask", "nginx.service"], check=True, capture_output=True)


@contextmanager
def large_directory(inside: Path | None = None) -> Iterator[Path]:
    """A directory for roots and disks. Removing it never leaves its file system, whatever is mounted there."""
    # Not pytest's own, which keeps what was in it.
    directory = Path(tempfile.mkdtemp(prefix="hearth-boot-", dir=inside or "/var/tmp"))
    try:
        yield directory
    finally:
        remove(directory)


def remove(directory: Path) -> None:
    """Remove a directory, and nothing of what may be mounted in it."""
    subprocess.run(["rm", "-rf", "--one-file-system", "--", directory], check=True)

"""The user data of a machine: a gzipped cloud-config with its programs, units and settings."""

import base64
import gzip
import hashlib
import json
import math
from pathlib import Path

from infra_scripts.common.errors import StackError
from infra_scripts.ec2.pool import Ec2Stack

MAX_USER_DATA_BYTES = 16_384
_FILES = Path(__file__).parents[1] / "machine"
_HARD_LIMIT_MINUTES = 5
"""Time from the watchdog's lifetime limit, which gives notice, to the hard limit."""


def machine_environment(stack: Ec2Stack) -> dict[str, str]:
    """Return the HEARTH_* values of /etc/hearth/machine.env."""
    return {
        "HEARTH_POOL": stack.pool,
        "HEARTH_REGION": stack.region,
        "HEARTH_LOG_GROUP": stack.log_group,
        "HEARTH_IDLE_SECONDS": f"{stack.idle_seconds:g}",
        "HEARTH_BOOT_SECONDS": f"{stack.boot_seconds:g}",
        "HEARTH_LIFETIME_SECONDS": f"{stack.lifetime_seconds:g}",
        "HEARTH_ACCESS": stack.access,
        "HEARTH_MODEL": stack.model,
        "HEARTH_OLLAMA_VERSION": stack.ollama_version,
        **({"HEARTH_OLLAMA_SHA256": stack.ollama_sha256} if stack.ollama_sha256 else {}),
        **({"HEARTH_MODEL_DIGEST": stack.model_digest} if stack.model_digest else {}),
        **({"HEARTH_METRICS": "yes"} if stack.metrics else {}),
        "HEARTH_MODEL_DISK": stack.model_disk,
    }


def ollama_environment(stack: Ec2Stack) -> dict[str, str]:
    """Return the OLLAMA_* values of /etc/hearth/ollama.env."""
    # Ollama has no authentication: it listens on all addresses only where the security group protects it.
    address = "0.0.0.0" if stack.access == "private" else "127.0.0.1"  # noqa: S104
    return {
        "OLLAMA_HOST": f"{address}:11434",
        "OLLAMA_NUM_PARALLEL": str(stack.slots),
        "OLLAMA_MAX_LOADED_MODELS": "1",
        "OLLAMA_CONTEXT_LENGTH": str(stack.num_ctx),
        "OLLAMA_KEEP_ALIVE": "5m",
        # A link that boot.sh creates.
        **({"OLLAMA_MODELS": "/opt/hearth/models"} if stack.model_disk == "instance_store" else {}),
    }


def cloud_config(stack: Ec2Stack) -> str:
    """Return the cloud-config: one command that installs the machine's files and starts its units.

    It is a `bootcmd`, which cloud-init runs at each boot in cloud-init.service. `write_files` and scripts would wait
    for cloud-final.service, and that waits for all of multi-user.target.
    """
    units = ["hearth-lifetime.timer", "hearth-watchdog.service", "hearth-boot.service"]
    others = ["hearth-poweroff.service", "ollama.service"]
    files = [
        _file("/etc/hearth/machine.env", _lines(machine_environment(stack)), "0600"),
        _file("/etc/hearth/ollama.env", _lines(ollama_environment(stack)), "0600"),
        _file("/etc/hearth/load.json", stack.load),
        _file("/opt/hearth/machine.py", _read("machine.py")),
        _file("/opt/hearth/aws.py", _read("aws.py")),
        _file("/opt/hearth/boot.sh", _read("boot.sh"), "0755"),
        _file("/etc/systemd/system/poweroff.target.d/hearth.conf", _read("poweroff.conf")),
    ]
    if stack.model_disk == "instance_store":
        files.append(_file("/opt/hearth/instance-store.sh", _read("instance-store.sh"), "0755"))
    else:
        units.append("hearth-prefetch.service")
        files.append(_file("/opt/hearth/prefetch.sh", _read("prefetch.sh"), "0755"))
    if stack.access == "token":
        others.append("hearth-proxy.service")
        files.append(_file("/etc/hearth/nginx.conf", _read("nginx.conf")))
    if stack.metrics:
        units.append("hearth-metrics.service")
        files += [_file(f"/opt/hearth/{name}", _read(name)) for name in ("metrics.py", "gpu.py")]
    minutes = str(math.ceil(stack.lifetime_seconds / 60) + _HARD_LIMIT_MINUTES)
    for unit in (*units, *others):
        files.append(_file(f"/etc/systemd/system/{unit}", _read(unit).replace("LIFETIME-MINUTES", minutes)))
    arguments = [part for file in files for part in file]
    command = ["sh", "-c", _read("install.sh"), "hearth", " ".join(units), *arguments]
    # JSON is YAML, and quotes every file correctly.
    return "#cloud-config\n" + json.dumps({"bootcmd": [command]}, indent=1) + "\n"


def config_digest(stack: Ec2Stack) -> str:
    """Return the digest of everything by which machines differ."""
    disk = [stack.disk_gb, stack.disk_iops, stack.disk_throughput]
    values = json.dumps([cloud_config(stack), disk, stack.base_ami_parameter])
    return hashlib.sha256(values.encode()).hexdigest()[:12]


def user_data(stack: Ec2Stack) -> str:
    """Return the cloud-config for a launch template: gzipped, then base64.

    Raises:
        StackError: the user data is larger than EC2 accepts.
    """
    packed = gzip.compress(cloud_config(stack).encode(), mtime=0)
    if len(packed) > MAX_USER_DATA_BYTES:
        raise StackError(
            f"The user data has {len(packed)} bytes, but EC2 accepts at most {MAX_USER_DATA_BYTES}. "
            "Shorten the files in infra_scripts/machine."
        )
    return base64.b64encode(packed).decode()


def _file(path: str, content: str, permissions: str = "0644") -> tuple[str, str, str]:
    return permissions, path, content


def _read(name: str) -> str:
    return (_FILES / name).read_text()


def _lines(values: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())

"""What a machine is told when it is launched: a cloud-config with its programs, units and settings, gzipped."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
from pathlib import Path
from typing import Any

from infra_scripts.common.errors import StackError
from infra_scripts.ec2.pool import Ec2Stack

MOST_BYTES = 16_384
_FILES = Path(__file__).parents[1] / "machine"
_HARD_LIMIT_MINUTES = 5
"""How much later than the watchdog's limit, which gives notice, the hard one is."""


def machine_environment(stack: Ec2Stack) -> dict[str, str]:
    """The HEARTH_* values of /etc/hearth/machine.env."""
    return {
        "HEARTH_POOL": stack.pool,
        "HEARTH_REGION": stack.region,
        "HEARTH_LOG_GROUP": stack.log_group,
        "HEARTH_IDLE_SECONDS": f"{stack.idle_seconds:g}",
        "HEARTH_BOOT_SECONDS": f"{stack.boot_seconds:g}",
        "HEARTH_LIFETIME_SECONDS": f"{stack.lifetime_seconds:g}",
        "HEARTH_LIFETIME_MINUTES": str(math.ceil(stack.lifetime_seconds / 60) + _HARD_LIMIT_MINUTES),
        "HEARTH_ACCESS": stack.access,
        "HEARTH_MODEL": stack.model,
        "HEARTH_OLLAMA_VERSION": stack.ollama_version,
        **({"HEARTH_OLLAMA_SHA256": stack.ollama_sha256} if stack.ollama_sha256 else {}),
        **({"HEARTH_MODEL_DIGEST": stack.model_digest} if stack.model_digest else {}),
        **({"HEARTH_METRICS": "yes"} if stack.metrics else {}),
        "HEARTH_MODEL_DISK": stack.model_disk,
    }


def ollama_environment(stack: Ec2Stack) -> dict[str, str]:
    """The OLLAMA_* values of /etc/hearth/ollama.env."""
    # Ollama has no authentication: only where the security group alone stands before it does it listen outside.
    address = "0.0.0.0" if stack.access == "private" else "127.0.0.1"  # noqa: S104
    return {
        "OLLAMA_HOST": f"{address}:11434",
        "OLLAMA_NUM_PARALLEL": str(stack.slots),
        "OLLAMA_MAX_LOADED_MODELS": "1",
        "OLLAMA_CONTEXT_LENGTH": str(stack.num_ctx),
        "OLLAMA_KEEP_ALIVE": "5m",
        # A link, which boot.sh sets.
        **({"OLLAMA_MODELS": "/opt/hearth/models"} if stack.model_disk == "instance_store" else {}),
    }


def cloud_config(stack: Ec2Stack) -> str:
    """The cloud-config: it only writes files, of which cloud-init runs the last at each boot."""
    units = ["hearth-watchdog.service", "hearth-lifetime.service", "ollama.service"]
    files = [
        _file("/etc/hearth/machine.env", _lines(machine_environment(stack)), "0600"),
        _file("/etc/hearth/ollama.env", _lines(ollama_environment(stack)), "0600"),
        _file("/opt/hearth/machine.py", _read("machine.py")),
        _file("/opt/hearth/aws.py", _read("aws.py")),
        _file("/opt/hearth/boot.sh", _read("boot.sh"), "0755"),
    ]
    script = "instance-store.sh" if stack.model_disk == "instance_store" else "prefetch.sh"
    files.append(_file(f"/opt/hearth/{script}", _read(script), "0755"))
    if stack.access == "token":
        units.append("hearth-proxy.service")
        files.append(_file("/etc/hearth/nginx.conf", _read("nginx.conf")))
    if stack.metrics:
        units.append("hearth-metrics.service")
        files += [_file(f"/opt/hearth/{name}", _read(name)) for name in ("metrics.py", "gpu.py")]
    files += [_file(f"/etc/systemd/system/{unit}", _read(unit)) for unit in units]
    files.append(_file("/var/lib/cloud/scripts/per-boot/hearth", _read("per-boot.sh"), "0755"))
    # JSON is YAML, and quotes every file without a doubt.
    return "#cloud-config\n" + json.dumps({"write_files": files}, indent=1) + "\n"


def config_of(stack: Ec2Stack) -> str:
    """Digest all that makes machines differ."""
    disk = [stack.disk_gb, stack.disk_iops, stack.disk_throughput]
    told = json.dumps([cloud_config(stack), disk, stack.base_ami_parameter])
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def user_data(stack: Ec2Stack) -> str:
    """The cloud-config as a launch template wants it: gzipped, then base64.

    Raises:
        StackError: it is larger than EC2 takes.
    """
    packed = gzip.compress(cloud_config(stack).encode(), mtime=0)
    if len(packed) > MOST_BYTES:
        raise StackError(
            f"The user data has {len(packed)} bytes, and EC2 takes {MOST_BYTES}. Shorten infra_scripts/machine."
        )
    return base64.b64encode(packed).decode()


def _file(path: str, content: str, permissions: str = "0644") -> dict[str, Any]:
    return {"path": path, "permissions": permissions, "content": content}


def _read(name: str) -> str:
    return (_FILES / name).read_text()


def _lines(values: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())

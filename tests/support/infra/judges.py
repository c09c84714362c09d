"""Checkov's judgement of a CloudFormation template, and parliament's of IAM policies."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.support.tools import CHECKOV, PARLIAMENT


def checkov_findings(templates: dict[str, str], directory: Path) -> dict[str, list[str]]:
    """Return the checks that each CloudFormation template fails and that it does not justify.

    One run judges all: most of its six seconds go by before the first.
    """
    for name, text in templates.items():
        (directory / f"{name}.yaml").write_text(text)
    done = subprocess.run(
        [CHECKOV.command, "-d", ".", "--framework", "cloudformation", "-o", "json"],
        cwd=directory,
        env={**os.environ, "LOG_LEVEL": "ERROR"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    told = json.loads(done.stdout)
    assert told["summary"]["parsing_errors"] == 0
    results = told["results"]
    judged = {
        Path(check["file_path"]).stem for kind in ("passed", "failed", "skipped") for check in results[f"{kind}_checks"]
    }
    assert judged == templates.keys()
    failed = [(Path(check["file_path"]).stem, check["check_id"]) for check in results["failed_checks"]]
    return {name: [check for at, check in failed if at == name] for name in templates}


# Parliament's own command writes to a file in /tmp that then belongs to whoever ran it first.
_PARLIAMENT = """
import json, sys
from parliament import analyze_policy_string
for name, policy in json.load(sys.stdin).items():
    for finding in analyze_policy_string(json.dumps(policy)).findings:
        print(json.dumps([name, finding.issue, finding.detail]))
"""


def parliament_findings(policies: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
    """Return what parliament finds in each policy, such as "RESOURCE_STAR ecs:ListTasks".

    Parliament judges each statement by itself and each wildcard by all that it matches. Left out, therefore: a resource
    that another statement for the same action has, and actions that the policy does not name.
    """
    done = subprocess.run(
        [Path(PARLIAMENT.command).resolve().with_name("python"), "-W", "ignore", "-c", _PARLIAMENT],
        input=json.dumps(policies),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reported: dict[str, Counter[str]] = {name: Counter() for name in policies}
    for line in done.stdout.splitlines():
        name, issue, detail = json.loads(line)
        # Each once for a statement, however often it is reported.
        reported[name].update({f"{issue} {entry}" for entry in _details(detail)})
    found: dict[str, set[str]] = {name: set() for name in policies}
    for name, counted in reported.items():
        statements = [_actions(statement) for statement in policies[name]["Statement"]]
        for text, count in counted.items():
            issue, action, *_ = text.split()
            if issue in {"RESOURCE_STAR", "RESOURCE_MISMATCH"} and not any(action in actions for actions in statements):
                continue
            allowing = sum(any(fnmatchcase(action, pattern) for pattern in actions) for actions in statements)
            if issue == "RESOURCE_MISMATCH" and count < allowing:
                continue
            found[name].add(text)
    return found


def _details(detail: Any) -> list[str]:
    """Return the lines of a finding's detail: actions, actions with the resource that they need, or words."""
    if isinstance(detail, list):
        return [
            f"{entry['action']} {entry['required_format']}" if isinstance(entry, dict) else entry for entry in detail
        ]
    return [detail if isinstance(detail, str) else json.dumps(detail)]


def _actions(statement: dict[str, Any]) -> set[str]:
    actions = statement["Action"]
    return {actions} if isinstance(actions, str) else set(actions)

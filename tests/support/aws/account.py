"""An account as the front shows it: what moto answers nothing of. All of it is SIMULATED."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tests.support.aws.faults import Fault
from tests.support.aws.front import AwsFront
from tests.support.aws.wire import Answer, Call, Proceed, element, error_answer, xml_answer

_JSON = {"content-type": "application/x-amz-json-1.1"}


@dataclass
class Account:
    """What an account allows.

    Attributes:
        refused: patterns of actions that its policies do not allow; `explained` says why not.
        quotas: values by code; `usual` is that of all others.
        functions: Lambda functions at once, and those of them that are not reserved.
        arn: whose the credentials are; moto's own if empty.
        left: actions that it leaves to faults that are injected later.
        principals: whose policies were simulated.
        snapshot_gb: size of each image's snapshot.
        simulated: every action that was simulated, with its resources and condition keys.
    """

    refused: set[str] = field(default_factory=set)
    explained: dict[str, bool] = field(default_factory=dict)
    quotas: dict[str, float] = field(default_factory=dict)
    usual: float = 64.0
    functions: tuple[int, int] = (1000, 1000)
    snapshot_gb: int = 100
    arn: str = ""
    left: set[str] = field(default_factory=set)
    principals: set[str] = field(default_factory=set)
    simulated: list[tuple[str, tuple[str, ...], dict[str, list[str]]]] = field(default_factory=list)

    def simulate(self, call: Call) -> Answer:
        """SimulatePrincipalPolicy."""
        actions, resources = call.listed("ActionNames.member"), tuple(call.listed("ResourceArns.member"))
        context = self._context(call)
        self.principals.add(call.parameters["PolicySourceArn"])
        results = []
        for action in actions:
            assert "*" not in action, "IAM takes no wildcards in actions"
            self.simulated.append((action, resources, context))
            allowed = not any(fnmatchcase(action, pattern) for pattern in self.refused)
            result: dict[str, object] = {
                "EvalActionName": action,
                "EvalResourceName": resources[0] if resources else "*",
                "EvalDecision": "allowed" if allowed else "implicitDeny",
            }
            if not allowed and "AllowedByPermissionsBoundary" in self.explained:
                result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": "false"}
            if not allowed and "AllowedByOrganizations" in self.explained:
                result["OrganizationsDecisionDetail"] = {"AllowedByOrganizations": "false"}
            results.append(result)
        root = ET.Element("SimulatePrincipalPolicyResponse")
        found = ET.SubElement(root, "SimulatePrincipalPolicyResult")
        found.append(element("IsTruncated", "false"))
        members = ET.SubElement(found, "EvaluationResults")
        members.extend(element("member", result) for result in results)
        return xml_answer(root)

    @staticmethod
    def _context(call: Call) -> dict[str, list[str]]:
        prefix, found = "ContextEntries.member.", {}
        numbers = {key.removeprefix(prefix).partition(".")[0] for key in call.parameters if key.startswith(prefix)}
        for number in sorted(numbers):
            name = call.parameters[f"{prefix}{number}.ContextKeyName"]
            found[name] = call.listed(f"{prefix}{number}.ContextKeyValues.member")
        return found

    def identity(self) -> Answer:
        """GetCallerIdentity."""
        root = ET.Element("GetCallerIdentityResponse")
        told = {"Arn": self.arn, "UserId": "AIDA", "Account": self.arn.split(":")[4]}
        root.append(element("GetCallerIdentityResult", told))
        return xml_answer(root)

    def quota(self, call: Call) -> Answer:
        """GetServiceQuota and ListServiceQuotas."""
        if call.action == "GetServiceQuota":
            value = self.quotas.get(call.parameters["QuotaCode"], self.usual)
            return Answer(200, _JSON, json.dumps({"Quota": {"Value": value}}).encode())
        name = "ml.g4dn.xlarge for endpoint usage"
        listed = [{"QuotaName": name, "Value": self.quotas.get(name, self.usual)}]
        return Answer(200, _JSON, json.dumps({"Quotas": listed}).encode())

    def limits(self) -> Answer:
        """GetAccountSettings of Lambda."""
        most, free = self.functions
        told = {"AccountLimit": {"ConcurrentExecutions": most, "UnreservedConcurrentExecutions": free}}
        return Answer(200, {"content-type": "application/json"}, json.dumps(told).encode())

    def sized(self, answer: Answer) -> Answer:
        """DescribeImages with other sizes than moto's, which are all of 15 GB."""
        size = f"<volumeSize>{self.snapshot_gb}</volumeSize>".encode()
        body = re.sub(rb"<volumeSize>\d+</volumeSize>", size, answer.body)
        return Answer(answer.status, answer.headers, body)

    async def answer(self, call: Call, proceed: Proceed) -> Answer:
        """The layer."""
        match call.service, call.action:
            case "iam", "SimulatePrincipalPolicy":
                made = self.simulate(call)
            case "sts", "GetCallerIdentity" if self.arn:
                made = self.identity()
            case "servicequotas", _:
                made = self.quota(call)
            case "lambda", "GET" if "account-settings" in call.path:
                made = self.limits()
            case "cloudformation", "DescribeEvents":
                made = error_answer(call, "AccessDenied", "FILLED: moto does not know it", 403)
            case "ec2", "DescribeImages":
                made = self.sized(await proceed(call))
            case _:
                made = await proceed(call)
        return made


_ANSWERS = (
    *("iam:Simulate*", "sts:GetCallerIdentity", "servicequotas:*", "lambda:GET"),
    *("cloudformation:DescribeEvents", "ec2:DescribeImages"),
)


def account_of(aws: AwsFront) -> Account:
    """Have the front show an account."""
    made = Account()
    aws.inject(Fault("account", made.answer), *_ANSWERS, times=None, where=lambda call: call.action not in made.left)
    return made

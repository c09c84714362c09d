"""The front refuses what AWS's models do not allow, and cannot itself answer what they do not know."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from starlette.datastructures import Headers

from tests.support.aws.front import AwsFront
from tests.support.aws.shapes import misfits_of_answer
from tests.support.aws.wire import Answer, Call, element, xml_answer


@pytest.mark.parametrize(
    ("service", "call", "asked", "code"),
    [
        ("iam", "create_role", {"RoleName": "a b", "AssumeRolePolicyDocument": "{}"}, "ValidationError"),
        ("ssm", "put_parameter", {"Name": "/a", "Value": "x", "Type": "Text"}, "ValidationException"),
        ("ec2", "create_security_group", {"GroupName": "a", "Description": "Hearth's"}, "InvalidParameterValue"),
        ("ec2", "create_tags", {"Resources": ["i-1"], "Tags": [{"Key": "aws:x"}]}, "InvalidParameterValue"),
        ("dynamodb", "create_table", {"TableName": "x" * 2000}, "ValidationException"),
    ],
)
def test_a_request_that_the_models_or_documents_do_not_allow_is_refused(
    aws: AwsFront, service: str, call: str, asked: dict[str, object], code: str
):
    if call == "create_table":
        keys = [{"AttributeName": "id", "KeyType": "HASH"}]
        asked |= {"KeySchema": keys, "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}]}
    with pytest.raises(ClientError) as caught:
        getattr(aws.client(service), call)(**asked)
    assert caught.value.response["Error"]["Code"] == code


def _call(service: str, action: str, target: str = "") -> Call:
    return Call(service, action, {}, "POST", "/", Headers({"x-amz-target": target} if target else {}), b"")


@pytest.mark.parametrize(
    ("told", "misfit"),
    [
        ({"Parameter": {"Name": "/a", "Value": "x"}}, None),
        ({"Parameter": {"Nam": "/a"}}, "GetParameter.Parameter has no Nam"),
        ({"Parameter": {"Version": "1"}}, "GetParameter.Parameter.Version: '1' is no long"),
        ({"Parameter": {"Value": 1}}, "GetParameter.Parameter.Value: 1 is no string"),
    ],
)
def test_a_json_answer_that_aws_never_gives_is_found(told: dict[str, object], misfit: str | None):
    answer = Answer(200, {}, json.dumps(told).encode())
    assert misfits_of_answer(_call("ssm", "GetParameter", "AmazonSSM.GetParameter"), answer) == (
        [misfit] if misfit else []
    )


@pytest.mark.parametrize(
    ("told", "misfit"),
    [
        ({"fleetId": "fleet-1", "errorSet": [{"lifecycle": "spot"}], "fleetInstanceSet": []}, None),
        ({"fleet": "fleet-1"}, "CreateFleet has no fleet"),
        ({"errorSet": [{"code": "x"}]}, "CreateFleet.errorSet has no code"),
    ],
)
def test_an_xml_answer_that_aws_never_gives_is_found(told: dict[str, object], misfit: str | None):
    answer = xml_answer(element("CreateFleetResponse", {"requestId": "-", **told}))
    assert misfits_of_answer(_call("ec2", "CreateFleet"), answer) == ([misfit] if misfit else [])

"""The commands of the machine's own program, and how it signs what it asks of AWS."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from infra_scripts.machine import aws as machine_aws
from tests.support.infra.machine_stubs import INSTANCE, KEYS, Surroundings, free_port


class TestCommands:
    def test_tell_sets_the_stage_on_this_very_instance(self, around: Surroundings):
        assert around.run("tell", "pulling qwen2.5vl:7b") == (0, "")
        form = around.aws.asked[-1].form
        assert (form["ResourceId.1"], form["Tag.1.Key"]) == (INSTANCE, "hearth:stage")
        assert form["Tag.1.Value"] == "pulling qwen2.5vl:7b"

    def test_tell_writes_only_what_a_tag_may_hold(self, around: Surroundings):
        around.run("tell", "failed: <a&b>\n" + "x" * 300)
        value = around.aws.asked[-1].form["Tag.1.Value"]
        assert re.fullmatch(r"failed: -a-b--x{242}", value)

    def test_tell_is_no_failure_when_aws_cannot_be_reached(self, around: Surroundings):
        code, out = around.run("tell", "serving", IMDS_URL=f"http://127.0.0.1:{free_port()}")
        assert code == 0
        assert "did not reach AWS" in out

    def test_log_sends_the_last_lines_to_the_stream_of_the_instance(self, around: Surroundings, tmp_path: Path):
        (tmp_path / "boot.log").write_text("".join(f"line {n}\n\n" for n in range(500)))
        assert around.run("log", str(tmp_path / "boot.log"))[0] == 0
        create, put = (json.loads(asked.body) for asked in around.aws.asked if "X-Amz-Target" in asked.headers)
        assert create == {"logGroupName": "/hearth/default", "logStreamName": INSTANCE}
        assert [event["message"] for event in put["logEvents"]] == [f"line {n}" for n in range(400, 500)]

    def test_log_uses_a_stream_that_exists(self, around: Surroundings, tmp_path: Path):
        (tmp_path / "boot.log").write_text("line\n")
        around.logs = (400, b'{"__type": "ResourceAlreadyExistsException"}')
        assert around.run("log", str(tmp_path / "boot.log"))[0] == 0
        assert around.aws.asked[-1].headers["X-Amz-Target"].endswith("PutLogEvents")

    def test_parameter_prints_the_value(self, around: Surroundings):
        assert around.run("parameter", "/hearth/default/token") == (0, "value of /hearth/default/token\n")
        assert json.loads(around.aws.asked[-1].body)["WithDecryption"] is True

    def test_parameter_fails_when_there_is_none(self, around: Surroundings):
        around.aws.answer = lambda _: (400, b"{}")
        assert around.run("parameter", "/hearth/default/token")[0] == 1

    @pytest.mark.parametrize("command", [[], ["watch", "out"], ["dance", "now"]])
    def test_a_command_that_does_not_exist_is_refused(self, around: Surroundings, command: list[str]):
        assert around.run(*command)[0] == 2


class TestSignature:
    @given(
        body=st.binary(max_size=200),
        token=st.sampled_from(["", "session/token=="]),
        service=st.sampled_from(["ec2", "logs", "ssm"]),
        path=st.sampled_from(["", "/", "/path"]),
        port=st.sampled_from(["", ":4566"]),
    )
    def test_it_is_the_one_that_botocore_makes(self, body: bytes, token: str, service: str, path: str, port: str):
        url = f"https://{service}.eu-central-1.amazonaws.com{port}{path}"
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.GetParameter"}
        keys = {**KEYS, "Token": token}
        now = datetime.now(UTC)
        ours = machine_aws.signed_headers(service, "eu-central-1", url, headers, body, keys, now)
        request = AWSRequest("POST", url, headers=headers, data=body)
        request.context["timestamp"] = now.strftime("%Y%m%dT%H%M%SZ")
        credentials = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], token or None)
        signer = SigV4Auth(credentials, service, "eu-central-1")
        signer._modify_request_before_signing(request)
        canonical = signer.canonical_request(request)
        signature = signer.signature(signer.string_to_sign(request, canonical), request)
        assert ours["Authorization"].endswith(f"Signature={signature}")

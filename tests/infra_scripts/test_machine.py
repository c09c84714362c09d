"""The machine's own program, as a process, among stubs of what surrounds it."""

import itertools
import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from infra_scripts.machine import aws as machine_aws
from tests.infra_scripts.machine_stubs import INSTANCE, KEYS, Asked, Surroundings, free_port, surroundings


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Surroundings]:
    with surroundings(tmp_path) as there:
        yield there


class TestIdle:
    def test_a_machine_that_nobody_uses_powers_itself_off_and_the_watchdog_ends(self, around: Surroundings):
        assert around.goes(around.watch(), within=10) >= 1

    def test_an_open_connection_keeps_the_machine_on(self, around: Surroundings):
        with socket.create_connection(("127.0.0.1", around.ollama.port)):
            process = around.watch()
            assert around.stays(process, 2.5)
        assert around.goes(process, within=10) >= 0.7

    def test_requests_that_come_and_go_between_looks_are_seen_by_expires_at(self, around: Surroundings):
        process = around.watch()
        for second in range(8):
            around.expires = f"2026-11-23T10:00:0{second}Z"
            assert around.stays(process, 0.4)
        around.goes(process, within=10)

    def test_a_model_that_is_unloaded_is_no_activity(self, around: Surroundings):
        process = around.watch()
        assert around.stays(process, 0.7)
        around.ollama.answer = lambda _: (200, b'{"models": []}')
        assert around.goes(process, within=10) < 5

    def test_the_watchdog_looks_once_more_before_it_acts(self, around: Surroundings):
        before = [0.0]

        def busy_at_the_last_moment(_: Asked) -> tuple[int, bytes]:
            now = time.monotonic()
            # Two looks at once are the sign of the last one.
            last, before[0] = now - before[0] < 0.2, now
            expires = str(now) if last else around.expires
            around.expires = expires
            return 200, json.dumps({"models": [{"name": "m", "expires_at": expires}]}).encode()

        around.ollama.answer = busy_at_the_last_moment
        process = around.watch(POLL_SECONDS=0.5)
        assert around.stays(process, 4)
        around.ollama.answer = around.answer_ollama
        around.goes(process, within=10)

    def test_an_ollama_that_dies_later_does_not_keep_the_machine_on(self, around: Surroundings):
        process = around.watch()
        assert around.stays(process, 0.6)
        around.ollama.answer = lambda _: (500, b"")
        around.goes(process, within=10)

    def test_a_restarted_watchdog_goes_on_with_its_clock(self, around: Surroundings):
        process = around.watch(IDLE_SECONDS=3)
        assert around.stays(process, 2)
        process.kill()
        process.wait()
        assert around.goes(around.watch(IDLE_SECONDS=3), within=10) < 2

    def test_a_power_off_that_fails_is_tried_again(self, around: Surroundings):
        script = around.directory / "poweroff"
        script.write_text(f"#!/bin/sh\nmkdir {around.directory}/tried 2>/dev/null && exit 1\ntouch {around.off}\n")
        script.chmod(0o755)
        around.goes(around.watch(POWEROFF=script), within=10)
        assert (around.directory / "tried").is_dir()


class TestBoot:
    def test_until_ollama_answers_the_boot_limit_holds_instead_of_the_idle_one(self, around: Surroundings):
        process = around.watch(OLLAMA_URL=f"http://127.0.0.1:{free_port()}", IDLE_SECONDS=0.3, BOOT_SECONDS=2)
        assert around.goes(process, within=10) >= 1.8

    def test_the_first_answer_starts_the_idle_clock(self, around: Surroundings):
        around.ollama.answer = lambda _: (503, b"")
        process = around.watch(BOOT_SECONDS=20)
        assert around.stays(process, 1.5)
        around.ollama.answer = around.answer_ollama
        assert around.goes(process, within=10) >= 0.9


class TestLifetime:
    def test_the_oldest_age_ends_a_machine_that_is_in_use_and_notice_is_given_before(self, around: Surroundings):
        with socket.create_connection(("127.0.0.1", around.ollama.port)):
            process = around.watch(LIFETIME_SECONDS=3, NOTICE_SECONDS=2)
            assert around.stays(process, 2)
            (notice,) = around.tags("hearth:notice")
            assert around.goes(process, within=10) <= 2
        at, reason = notice.split(" ")
        assert reason == "lifetime"
        assert abs((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()) < 5

    def test_notice_is_given_once(self, around: Surroundings):
        around.goes(around.watch(LIFETIME_SECONDS=2, NOTICE_SECONDS=1.5, IDLE_SECONDS=9), within=10)
        assert len(around.tags("hearth:notice")) == 1


SPOT = (200, b'{"action": "terminate", "time": "2026-11-23T10:02:00Z"}')


class TestSpot:
    def test_an_interruption_is_published_once(self, around: Surroundings):
        around.interruption = SPOT
        around.goes(around.watch(IDLE_SECONDS=2), within=10)
        assert around.tags("hearth:notice") == ["2026-11-23T10:02:00Z spot-interruption"]

    def test_a_notice_that_was_not_written_is_tried_until_it_is(self, around: Surroundings):
        around.interruption, around.tagging = SPOT, (503, b"")
        process = around.watch(IDLE_SECONDS=3)
        assert around.stays(process, 1.5)
        refused = len(around.tags("hearth:notice"))
        assert refused > 1
        around.tagging = (200, b"<ok/>")
        around.goes(process, within=10)
        assert len(around.tags("hearth:notice")) == refused + 1

    def test_a_restarted_watchdog_does_not_publish_again(self, around: Surroundings):
        around.interruption = SPOT
        process = around.watch(IDLE_SECONDS=9)
        assert around.stays(process, 2)
        process.kill()
        process.wait()
        assert around.stays(around.watch(IDLE_SECONDS=9), 1)
        assert len(around.tags("hearth:notice")) == 1

    def test_an_interruption_is_published_although_the_lifetime_was(self, around: Surroundings):
        process = around.watch(LIFETIME_SECONDS=4, NOTICE_SECONDS=3.5, IDLE_SECONDS=9)
        assert around.stays(process, 1.5)
        around.interruption = SPOT
        around.goes(process, within=10)
        assert [notice.split(" ")[1] for notice in around.tags("hearth:notice")] == ["lifetime", "spot-interruption"]


RUBBISH = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"{}",
    b'{"models": 3}',
    b'{"models": [null]}',
    b"[" * 100_000,
    b"x" * 3_000_000,
]


class TestRubbish:
    def test_whatever_ollama_answers_the_machine_goes(self, around: Surroundings):
        answers = itertools.cycle(RUBBISH)
        around.ollama.answer = lambda _: (200, next(answers))
        around.goes(around.watch(BOOT_SECONDS=2), within=10)
        assert len(around.ollama.asked) > len(RUBBISH)

    def test_whatever_the_metadata_service_answers_the_machine_goes(self, around: Surroundings):
        answers = itertools.cycle(RUBBISH)
        around.aws.answer = lambda _: (200, next(answers))
        around.goes(around.watch(IDLE_SECONDS=2), within=10)
        assert len(around.aws.asked) > len(RUBBISH)

    @pytest.mark.parametrize(
        "state",
        [*RUBBISH, b'{"started": NaN, "active": 1e999}', b'{"started": 1e99, "active": 1e99}'],
        ids=lambda state: state[:20],
    )
    def test_whatever_the_state_file_holds_the_machine_goes(self, around: Surroundings, state: bytes):
        around.state.mkdir()
        (around.state / "watch.json").write_bytes(state)
        around.goes(around.watch(IDLE_SECONDS=0.2, BOOT_SECONDS=0.2), within=10)

    def test_a_state_that_cannot_be_kept_does_not_stop_the_clocks(self, around: Surroundings):
        around.state.write_text("a file where the directory should be")
        around.goes(around.watch(), within=10)

    def test_surroundings_that_refuse_every_connection_do_not_stop_the_clocks(self, around: Surroundings):
        nothing = f"http://127.0.0.1:{free_port()}"
        around.goes(around.watch(IMDS_URL=nothing, EC2_URL=nothing, LIFETIME_SECONDS=2, NOTICE_SECONDS=2), within=10)

    def test_an_answer_that_drips_in_for_ever_does_not_stop_the_clocks(self, around: Surroundings):
        around.ollama.answer = lambda _: None
        around.goes(around.watch(BOOT_SECONDS=1, ANSWER_SECONDS=1), within=20)

    def test_settings_that_make_no_sense_end_the_watchdog_so_that_its_unit_powers_off(self, around: Surroundings):
        code, out = around.run("watch", IDLE_SECONDS="soon")
        assert code != 0
        assert "soon" in out

    def test_a_signal_to_end_is_obeyed(self, around: Surroundings):
        process = around.watch(IDLE_SECONDS=60)
        assert around.stays(process, 0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == -signal.SIGTERM


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

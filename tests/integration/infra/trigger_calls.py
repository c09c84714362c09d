"""What the Lambda function is told by its environment, and what its answers say."""

from __future__ import annotations

import threading
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import URLLib3Session

OUTPUT = "s3://inbox/results"
VARIABLES = {
    "HEARTH_BUCKET": "inbox",
    "HEARTH_PREFIX": "",
    "HEARTH_SUFFIXES": ".pdf .png .tif",
    "HEARTH_OUTPUT": OUTPUT,
    "HEARTH_DEPLOYMENT": "process-document/on-demand",
    "HEARTH_TABLE": "started",
    "HEARTH_RUN_TASK": '{"cluster": "hearth-default-lambda", "taskDefinition": "hearth-default-lambda:1"}',
    "HEARTH_OPTIONS": f"--output {OUTPUT} --backend ec2 --max-usd 5 --max-minutes 120",
}
AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


def one_after_another(client: Any) -> None:
    """SIMULATED: DynamoDB's transactions are whole; moto's are seen, and undone, in the middle of others.

    As tests/support/aws/serial.py has it, for those that are not behind the front.
    """
    turn, wire = threading.Lock(), URLLib3Session()

    def send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        with turn:
            return wire.send(request)

    client.meta.events.register("before-send.dynamodb", send)


def failed(answer: dict[str, Any]) -> list[str]:
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]

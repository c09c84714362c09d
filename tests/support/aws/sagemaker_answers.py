"""How SageMaker answers, SIMULATED: messages of its event stream, and errors of a model's container."""

from __future__ import annotations

import json
import struct
import zlib

from tests.support.aws.wire import REGION, Answer

ACCOUNT = "123456789012"


def event(headers: dict[str, str], payload: bytes) -> bytes:
    """A message of AWS's event stream: lengths and their CRC, headers of strings, the payload, and a CRC of it all."""
    told = b"".join(
        struct.pack(f">B{len(name)}sBH{len(value)}s", len(name), name.encode(), 7, len(value), value.encode())
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", len(told) + len(payload) + 16, len(told))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + told + payload
    return message + struct.pack(">I", zlib.crc32(message))


def model_error(status: int, message: str) -> Answer:
    kind = "client" if 400 <= status < 500 else "server"
    told = {
        "ErrorCode": f"{kind.upper()}_ERROR_FROM_MODEL",
        "LogStreamArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker/Endpoints/simulated",
        "Message": f'Received {kind} error ({status}) from primary with message "{message}".',
        "OriginalMessage": message,
        "OriginalStatusCode": status,
    }
    headers = {"content-type": "application/json", "x-amzn-errortype": "ModelError"}
    return Answer(424, headers, json.dumps(told).encode())

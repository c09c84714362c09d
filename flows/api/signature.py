"""The signature of webhooks: HMAC-SHA256 over timestamp.body. A receiver needs `verify` and nothing else."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping

ID_HEADER = "Hearth-Webhook-Id"
TIMESTAMP_HEADER = "Hearth-Webhook-Timestamp"
SIGNATURE_HEADER = "Hearth-Webhook-Signature"

_VERSION = "v1="


def sign(secret: str, body: bytes, now: float) -> dict[str, str]:
    """The headers that vouch for a body.

    Args:
        secret: what sender and receiver know.
        body: as it is sent.
        now: seconds since the epoch.
    """
    timestamp = str(int(now))
    return {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: _VERSION + _signature(secret, timestamp, body)}


def verify(
    secret: str, headers: Mapping[str, str], body: bytes, *, tolerance: float = 300.0, now: float | None = None
) -> bool:
    """Whether a webhook is from who knows the secret, unchanged, and not an old one that is sent again.

    Args:
        secret: what sender and receiver know.
        headers: of the request; their names in any case.
        body: as it came, before it is parsed.
        tolerance: how far the sender's clock may be from here, and how long it may have taken, seconds.
        now: seconds since the epoch; the clock's if None.
    """
    given = {name.lower(): value for name, value in headers.items()}
    timestamp = given.get(TIMESTAMP_HEADER.lower(), "")
    if not (timestamp.isascii() and timestamp.isdecimal()):
        return False
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance:
        return False
    signature = given.get(SIGNATURE_HEADER.lower(), "")
    return hmac.compare_digest(signature.encode(), (_VERSION + _signature(secret, timestamp, body)).encode())


def _signature(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()

"""The signature of webhooks: HMAC-SHA256 over timestamp.body. A receiver needs only `verify`."""

import hashlib
import hmac
import time
from collections.abc import Mapping

ID_HEADER = "Hearth-Webhook-Id"
TIMESTAMP_HEADER = "Hearth-Webhook-Timestamp"
SIGNATURE_HEADER = "Hearth-Webhook-Signature"

_VERSION = "v1="


def sign(secret: str, body: bytes, now: float) -> dict[str, str]:
    """Return the headers that sign the body of a request; `now` is in seconds since the epoch."""
    timestamp = str(int(now))
    return {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: _VERSION + _signature(secret, timestamp, body)}


def verify(
    secret: str, headers: Mapping[str, str], body: bytes, *, tolerance: float = 300.0, now: float | None = None
) -> bool:
    """Return whether a webhook is signed with the secret, unchanged and recent, so that no old one is replayed.

    Args:
        secret: shared by sender and receiver.
        headers: of the request; upper and lower case do not matter.
        body: as received, before it is parsed.
        tolerance: largest difference of the clocks plus transit time, seconds.
        now: seconds since the epoch; the current time if None.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    timestamp = lowered.get(TIMESTAMP_HEADER.lower(), "")
    if not (timestamp.isascii() and timestamp.isdecimal()):
        return False
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance:
        return False
    signature = lowered.get(SIGNATURE_HEADER.lower(), "")
    return hmac.compare_digest(signature.encode(), (_VERSION + _signature(secret, timestamp, body)).encode())


def _signature(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()

"""AWS requests of machines and ECS tasks (SigV4, IMDSv2, tags, logs, metrics), and the number of connections.

Standard library only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

_MAX_BYTES = 1 << 20
_ESTABLISHED = "01"
# The environment's proxy is not used: all addresses here are the machine's own or AWS's.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class RefusedError(OSError):
    """A server's error response: its status, and the beginning of its body."""

    def __init__(self, status: int, reason: str, body: bytes) -> None:
        super().__init__(f"HTTP {status} {reason}")
        self.status = status
        self.body = body


def utc_now() -> datetime:
    """Return the wall-clock time, for texts and signatures; never for a limit."""
    return datetime.now(timezone.utc)  # noqa: UP017 - machines may run Python 3.10


def environment(name: str, default: str | None = None) -> str:
    """Return a HEARTH_* variable of the environment."""
    value = os.environ.get(f"HEARTH_{name}") or default
    if value is None:
        raise RuntimeError(f"HEARTH_{name} is not set. Set it in /etc/hearth/machine.env.")
    return value


def connections(port: int) -> int:
    """Return the number of established TCP connections to a local port."""
    found = 0
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 3 and fields[3] == _ESTABLISHED:
                found += int(fields[1].rpartition(":")[2], 16) == port
    return found


def http(
    url: str, *, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None, wait: float = 3
) -> bytes:
    """Send a request and return the body of the response.

    Raises:
        RefusedError: the server returned an error.
        OSError: the server did not respond.
    """
    request = urllib.request.Request(url, data=body, headers=headers or {}, method=method)  # noqa: S310 - of ours
    try:
        with _opener.open(request, timeout=wait) as response:
            read: bytes = response.read(_MAX_BYTES)
            return read
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection
            raise RefusedError(error.code, error.reason, error.read(_MAX_BYTES)) from None


def imds(path: str) -> str | None:
    """Return a value of the instance metadata service; None if it has none."""
    base = environment("IMDS_URL", "http://169.254.169.254").rstrip("/")
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
    token = http(f"{base}/latest/api/token", method="PUT", headers=lifetime).decode()
    try:
        return http(f"{base}/latest/{path}", headers={"X-aws-ec2-metadata-token": token}).decode()
    except RefusedError as error:
        if error.status == 404:
            return None
        raise


def instance_id() -> str:
    """Return this machine's id."""
    return _required("meta-data/instance-id").strip()


def _required(path: str) -> str:
    text = imds(path)
    if not text:
        raise RuntimeError(f"The instance metadata service has no {path}.")
    return text


def _credentials() -> dict[str, str]:
    """Return the credentials of the task's role in an ECS task, otherwise of the machine's role."""
    path = os.environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if path:
        text = http(environment("CREDENTIALS_URL", "http://169.254.170.2") + path).decode()
    else:
        roles = "meta-data/iam/security-credentials/"
        text = _required(roles + _required(roles).split()[0])
    credentials: dict[str, str] = json.loads(text)
    return credentials


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed_headers(
    service: str,
    region: str,
    url: str,
    headers: dict[str, str],
    body: bytes,
    credentials: dict[str, str],
    now: datetime,
) -> dict[str, str]:
    """Return the headers of a POST without a query string, signed with AWS's Signature Version 4."""
    parts = urlsplit(url)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    signed = {**headers, "Host": parts.netloc, "X-Amz-Date": stamp}
    if credentials.get("Token"):
        signed["X-Amz-Security-Token"] = credentials["Token"]
    canonical = {name.lower(): " ".join(value.split()) for name, value in signed.items()}
    names = ";".join(sorted(canonical))
    lines = "".join(f"{name}:{canonical[name]}\n" for name in sorted(canonical))
    request = f"POST\n{parts.path or '/'}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = ("AWS4" + credentials["SecretAccessKey"]).encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    signed["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials['AccessKeyId']}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return signed


def _post(service: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Send a signed request to a service, and return the body of its response."""
    region = environment("REGION")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    url = environment(f"{service.upper()}_URL", f"https://{service}.{region}.{suffix}").rstrip("/") + "/"
    signed = signed_headers(service, region, url, headers, body, _credentials(), utc_now())
    return http(url, method="POST", headers=signed, body=body, wait=10)


def post_form(service: str, form: dict[str, str]) -> None:
    """Send a signed request to an API that takes forms."""
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    _post(service, urlencode(form).encode(), headers)


def _json(service: str, target: str, payload: dict[str, Any], version: str = "1.1") -> dict[str, Any]:
    headers = {"Content-Type": f"application/x-amz-json-{version}", "X-Amz-Target": target}
    response: dict[str, Any] = json.loads(_post(service, json.dumps(payload).encode(), headers) or b"{}")
    return response


def tag(key: str, value: str) -> None:
    """Set a tag on this machine."""
    form = {
        "Action": "CreateTags",
        "Version": "2016-11-15",
        "ResourceId.1": instance_id(),
        "Tag.1.Key": key,
        "Tag.1.Value": re.sub(r"[^\w .:/=+\-@]", "-", value)[:256],
    }
    post_form("ec2", form)


def parameter(name: str) -> str:
    """Return the decrypted value of an SSM parameter."""
    response = _json("ssm", "AmazonSSM.GetParameter", {"Name": name, "WithDecryption": True})
    value: str = response["Parameter"]["Value"]
    return value


def send_log(lines: list[str]) -> None:
    """Append lines to this machine's stream of the log group."""
    stream = {"logGroupName": environment("LOG_GROUP"), "logStreamName": instance_id()}
    try:
        _json("logs", "Logs_20140328.CreateLogStream", stream)
    except RefusedError as error:
        if b"ResourceAlreadyExists" not in error.body:
            raise
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": line[:4000]} for line in lines if line.strip()]
    if events:
        _json("logs", "Logs_20140328.PutLogEvents", {**stream, "logEvents": events})


def put_metrics(namespace: str, metrics: list[dict[str, Any]]) -> None:
    """Send metrics to CloudWatch."""
    payload = {"Namespace": namespace, "MetricData": metrics}
    _json("monitoring", "GraniteServiceVersion20100801.PutMetricData", payload, "1.0")


def item(table: str, key: str) -> dict[str, Any]:
    """Return an item of a DynamoDB table by its `id`, in the API's format; empty if it does not exist."""
    payload = {"TableName": table, "Key": {"id": {"S": key}}}
    found: dict[str, Any] = _json("dynamodb", "DynamoDB_20120810.GetItem", payload, "1.0").get("Item", {})
    return found

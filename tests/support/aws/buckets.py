"""A bucket for tests."""

from __future__ import annotations

from typing import Any

from tests.support.aws.front import AwsFront

BUCKET = "papers"


def make_bucket(aws: AwsFront) -> Any:
    """Make the bucket, and return the client of its owner, who asks moto itself."""
    client = aws.behind("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


def keys(s3: Any, prefix: str = "") -> set[str]:
    """What there is, turns and what they need aside."""
    found = {item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())}
    return {key for key in found if not key.endswith(".lock") and "/.by-content/" not in key}


def body(s3: Any, key: str) -> bytes:
    """An object's content."""
    return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

"""Documents under s3://."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.storage.files import S3Path
from tests.support.aws.buckets import BUCKET

PAPER = S3Path(BUCKET, "inbox/paper.pdf")
ROOT = Path(__file__).parents[3]


def stored(s3: Any, *names: str) -> None:
    for name in names:
        s3.put_object(Bucket=BUCKET, Key=name, Body=name.encode())

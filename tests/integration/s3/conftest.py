"""A bucket, and the results of a document in it."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.aws.client import Aws
from tasks.results.store import ResultStore
from tasks.storage import s3_client as objects
from tests.integration.s3.result_places import new_store
from tests.support.aws.buckets import make_bucket
from tests.support.aws.front import AwsFront


@pytest.fixture
def s3(aws: AwsFront, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The bucket's owner, who asks moto itself."""
    monkeypatch.setattr(objects, "default_aws", Aws())
    return make_bucket(aws)


@pytest.fixture
def store(s3: Any) -> ResultStore:
    """The results of a document."""
    return new_store()

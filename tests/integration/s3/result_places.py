"""A place for results under s3://."""

from __future__ import annotations

from tasks.results.store import ResultStore, results_directory
from tasks.storage import s3 as s3_module
from tasks.storage.files import S3Path
from tests.support.aws.buckets import BUCKET
from tests.unit.tasks.results.stored import DOCUMENT

PLACE = S3Path(BUCKET, "results")


def new_store() -> ResultStore:
    """Another run's view of them."""
    s3_module._known.clear()
    store = ResultStore(results_directory(PLACE, DOCUMENT))
    store.prepare()
    return store

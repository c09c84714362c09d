"""Results under s3://."""

from __future__ import annotations

from tasks.results.store import ResultStore, results_directory
from tasks.storage import s3 as s3_module
from tasks.storage.files import S3Path
from tests.support.aws.buckets import BUCKET
from tests.unit.tasks.results.stored import DOCUMENT

PLACE = S3Path(BUCKET, "results")


def new_store() -> ResultStore:
    """Return the results of a document as another process sees them."""
    s3_module.files_in_use.clear()
    store = ResultStore(results_directory(PLACE, DOCUMENT))
    store.prepare()
    return store

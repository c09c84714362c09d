"""What the Lambda function makes of the events of S3 and EventBridge."""

from __future__ import annotations

from typing import Any

import pytest

from infra_scripts.trigger.handler import TriggerError, arrivals
from tests.support.infra.trigger_events import (
    bridged,
    notified,
)

pytestmark = pytest.mark.usefixtures("variables")


def documents(event: dict[str, Any]) -> list[str]:
    return [each.document for each in arrivals(event)]


class TestEvents:
    def test_eventbridge_tells_keys_as_they_are(self):
        assert documents(bridged("a b/ü+1%20.pdf")) == ["s3://inbox/a b/ü+1%20.pdf"]

    def test_s3_encodes_them(self):
        keys = ("a b/ü+1%20.pdf", "c.PDF")
        assert documents(notified(*keys)) == [f"s3://inbox/{key}" for key in keys]

    def test_all_kinds_of_documents_are_read(self):
        keys = ("a.pdf", "b.PNG", "c/d.tif")
        assert documents(notified(*keys)) == [f"s3://inbox/{key}" for key in keys]

    @pytest.mark.parametrize("key", ["a.txt", "folder/", "pdf", "results/a-1/copy.pdf", "a.pdf/"])
    def test_what_is_no_pdf_or_is_hearths_own_is_left_alone(self, key):
        assert documents(bridged(key)) == documents(notified(key)) == []

    def test_so_is_what_lies_elsewhere(self, variables):
        variables.setenv("HEARTH_PREFIX", "in/")
        assert documents(notified("in/a.pdf", "a.pdf")) == ["s3://inbox/in/a.pdf"]
        variables.setenv("HEARTH_BUCKET", "another")
        assert documents(bridged("in/a.pdf")) == []

    def test_so_are_removals_and_the_test_that_s3_sends(self):
        assert documents(notified("a.pdf", event="ObjectRemoved:Delete")) == []
        assert documents({**bridged("a.pdf"), "detail-type": "Object Deleted"}) == []
        assert documents({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "inbox"}) == []

    def test_a_version_is_the_buckets_or_the_etag_with_what_orders_uploads(self):
        def content(event: dict[str, Any]) -> str:
            return next(arrivals(event)).content

        assert content(bridged("a.pdf")) == content(notified("a.pdf")) == "s3://inbox/a.pdf@v1"
        without = content(bridged("a.pdf", None))
        assert without.endswith("@b1946ac92492d2347c6235b4d2611184-00617F08")
        assert content(bridged("a.pdf", None, sequencer="00617F09")) != without
        assert content(notified("a.pdf", version="null")) == content(notified("a.pdf", version=None))

    @pytest.mark.parametrize(
        "event",
        [{}, {"Records": [{}]}, {"detail": {}}, {"Records": None}, {"detail": None}, [], "x", None, 5],
        ids=str,
    )
    def test_what_is_no_event_of_s3_is_said_to_be_none(self, event):
        with pytest.raises(TriggerError, match="not an event of S3"):
            list(arrivals(event))

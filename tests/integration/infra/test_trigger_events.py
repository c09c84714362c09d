"""How the Lambda function parses the events of S3 and EventBridge."""

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
    def test_keys_of_eventbridge_are_not_encoded(self):
        assert documents(bridged("a b/ü+1%20.pdf")) == ["s3://inbox/a b/ü+1%20.pdf"]

    def test_keys_of_s3_are_decoded(self):
        keys = ("a b/ü+1%20.pdf", "c.PDF")
        assert documents(notified(*keys)) == [f"s3://inbox/{key}" for key in keys]

    @pytest.mark.parametrize("key", ["a.txt", "folder/", "pdf", "results/a-1/copy.pdf", "a.pdf/"])
    def test_other_files_and_hearths_own_are_ignored(self, key):
        assert documents(bridged(key)) == documents(notified(key)) == []

    def test_other_prefixes_and_buckets_are_ignored(self, variables):
        variables.setenv("HEARTH_PREFIX", "in/")
        assert documents(notified("in/a.pdf", "a.pdf")) == ["s3://inbox/in/a.pdf"]
        variables.setenv("HEARTH_BUCKET", "another")
        assert documents(bridged("in/a.pdf")) == []

    def test_removals_and_the_test_event_of_s3_are_ignored(self):
        assert documents(notified("a.pdf", event="ObjectRemoved:Delete")) == []
        assert documents({**bridged("a.pdf"), "detail-type": "Object Deleted"}) == []
        assert documents({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "inbox"}) == []

    def test_a_version_is_the_version_id_or_the_etag_with_the_sequencer(self):
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
    def test_other_events_are_refused(self, event):
        with pytest.raises(TriggerError, match="not an event of S3"):
            list(arrivals(event))

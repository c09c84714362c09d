"""The repository's lifecycle policy, evaluated as ECR's documents say that it is.

docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html: rules are applied by priority; an image that
matches a rule's tags is expired by no later rule, and a later rule counts as if nothing had been expired; an image that
a manifest list refers to is not expired before the list.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra_scripts.ecs.service import template
from tests.support.infra.linted import decode
from tests.support.infra.services import service

LIVE = service().image_tag


@dataclass(frozen=True)
class Image:
    tag: str | None
    of_index: bool = False


@cache
def rules() -> list[dict[str, Any]]:
    parsed, _ = decode(template(service()))
    text: str = parsed["Resources"]["Repository"]["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"]["Fn::Sub"]
    found: list[dict[str, Any]] = json.loads(text.replace("${ImageTag}", LIVE))["rules"]
    return sorted(found, key=lambda rule: int(rule["rulePriority"]))


def expired(pushed: list[Image]) -> list[Image]:
    """Which of the images, oldest first, would go."""
    gone: list[Image] = []
    held: list[Image] = []
    for rule in rules():
        chosen = rule["selection"]
        matched = [image for image in pushed if _matches(chosen, image)]
        surplus = matched[: max(0, len(matched) - chosen["countNumber"])]
        gone += [image for image in surplus if not any(image is each for each in held)]
        held += matched
    return [image for image in gone if not image.of_index]


def _matches(chosen: dict[str, Any], image: Image) -> bool:
    if chosen["tagStatus"] == "any":
        return True
    return image.tag is not None and any(image.tag.startswith(prefix) for prefix in chosen["tagPrefixList"])


others = st.lists(
    st.builds(Image, st.sampled_from([None, "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"])), max_size=12
)


@given(before=others, after=others)
def test_the_image_of_the_tasks_never_goes_whatever_is_pushed(before: list[Image], after: list[Image]):
    live = Image(LIVE)
    assert not any(image is live for image in expired([*before, live, *after]))


def test_an_index_with_attestations_pushed_after_it_does_not_drive_it_out():
    live = Image(LIVE)
    index = [Image(None, of_index=True), Image(None, of_index=True), Image("aaaaaaaaaaaa")]
    assert not any(image is live for image in expired([live, *index, *index]))


def test_old_images_go_so_that_no_more_than_the_live_one_and_some_new_ones_are_paid_for():
    old = [Image(f"{number:012d}") for number in range(9)]
    assert expired([Image(LIVE), *old]) == old[:6]


def test_a_rule_for_any_image_comes_last_as_ecr_demands():
    assert [rule["selection"]["tagStatus"] for rule in rules()] == ["tagged", "any"]

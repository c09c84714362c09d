"""Which stored pages meet a request: options of turning and straightening, and pages stored before there were any."""

from __future__ import annotations

import pytest

from tasks.core.corrections import Correction, Evidence, Straightening, Turning
from tasks.core.jobs import ReadOptions, meets_request, page_identity

USUAL = ReadOptions(prompt="Transcribe.", longest_side=1288, num_ctx=8192, num_predict=4096)
NO_TURN = USUAL.model_copy(update={"turn": Turning.NEVER})
NO_SKEW = USUAL.model_copy(update={"straighten": Straightening.NEVER})
TURNED = Correction(turned=90, evidence=Evidence.WORDS)
STRAIGHTENED = Correction(straightened=-1.5)


def meets(stored: ReadOptions, correction: Correction | None, asked: ReadOptions) -> bool:
    return meets_request(page_identity("sha", 1, "digest", stored), "sha", 1, "digest", asked, correction)


def test_the_options_are_no_part_of_the_identity_where_they_are_not_set():
    # As the version before turning had it: a page that is stored stays found.
    assert (
        page_identity("sha", 1, "digest", USUAL) == "249616183754aa603e90e16d627b3ccfb5a30dc9697b94f1def0dd25fb6dbfaa"
    )


@pytest.mark.parametrize("options", [NO_TURN, NO_SKEW])
def test_a_page_that_is_read_as_it_lies_has_another_identity(options):
    assert page_identity("sha", 1, "digest", options) != page_identity("sha", 1, "digest", USUAL)


@pytest.mark.parametrize("asked", [NO_TURN, NO_SKEW])
def test_a_page_that_needed_no_correction_is_not_read_again_without_one(asked):
    assert meets(USUAL, None, asked)


@pytest.mark.parametrize(
    ("correction", "asked", "found"),
    [
        (TURNED, NO_TURN, False),
        (TURNED, NO_SKEW, True),
        (STRAIGHTENED, NO_TURN, True),
        (STRAIGHTENED, NO_SKEW, False),
        (TURNED, USUAL, True),
    ],
)
def test_a_page_that_was_corrected_meets_every_request_but_one_against_that_correction(correction, asked, found):
    assert meets(USUAL, correction, asked) is found


def test_a_page_that_was_read_as_it_lies_may_need_a_turn():
    assert not meets(NO_TURN, None, USUAL)

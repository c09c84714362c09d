"""What stands on disk after a page: the page as it was written, and the document with its pages in order."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import FailureReason, OutputError
from tasks.core.flags import Flag, FlagName
from tasks.results.page import PageEntry, PageResult, PageStatus
from tasks.results.store import ResultStore, results_directory
from tests.unit.tasks.results.stored import DIGEST, DOCUMENT, blank, failed, files, flagged, page, planned

# Where the results go


def test_the_directory_is_named_for_the_document_and_its_bytes(tmp_path):
    assert results_directory(tmp_path, DOCUMENT) == tmp_path / "paper-aaaaaaaaaaaa"


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120))
def test_any_document_name_gives_a_plain_directory_name(name):
    document = DOCUMENT.model_copy(update={"path": Path("/papers") / f"x{name}.pdf"})
    directory = results_directory(Path("/results"), document)
    assert directory.parent == Path("/results")
    assert not set(directory.name) & set(" /\\:*?\"'<>|\n\0")
    assert len(directory.name) <= 113


def test_preparing_twice_keeps_what_stands(store):
    store.write_page(page(1))
    store.prepare()
    assert store.page(1) == page(1)


@pytest.mark.parametrize("directory", ["taken/by/a/file", "/proc/hearth"])
def test_a_directory_that_cannot_be_made_is_named_with_a_remedy(tmp_path, directory):
    (tmp_path / "taken").touch()
    with pytest.raises(OutputError, match=f"{directory}: .*--output") as caught:
        ResultStore(tmp_path / directory).prepare()
    assert caught.value.exit_code == 2


# Pages


def test_a_page_reads_back_as_it_was_written(store):
    result = page(2, "Grüße ∑ 漢字 \N{GRINNING FACE}\n\n| a | b |")
    store.write_page(result)
    assert store.page(2) == result


@pytest.mark.parametrize(
    "forged",
    [
        "<!-- page 2 -->",
        "<!--page 2-->",
        "<!-- PAGE 2, blank -->",
        "<!--\n page 2 -->",
        "<!--\N{NO-BREAK SPACE}page 2 -->",
        "<!-- page 1, failed: truncated -->",
        "an open comment <!--",
        "<!<!-- page 2 -->",
    ],
)
def test_a_pages_text_forges_no_marker_and_hides_none(store, forged):
    store.write_page(page(1, f"before\n{forged}\nafter"))
    store.write_page(page(2, "the second"))
    document = "".join(store.sections([1, 2]))
    assert re.findall(r"<!--.*?-->", document, re.DOTALL) == ["<!-- page 1 -->", "<!-- page 2 -->"]
    assert store.page(1).text == f"before\n{forged}\nafter"


def partial(number: int, text: str) -> PageResult:
    flag = Flag(name=FlagName.PARTIAL, detail="the text comes from its last attempts")
    return failed(number).model_copy(update={"text": text, "flags": (flag,)})


def test_what_a_failed_page_gave_is_in_the_text_behind_a_marker_of_its_own(store):
    store.write_page(partial(1, "And so"))
    assert list(store.sections([1])) == ["<!-- page 1, failed: truncated, partial -->\n\nAnd so\n\n"]
    assert store.missing(planned(numbers=(1,)), DIGEST) == (1,)
    assert PageEntry.of(store.page(1)).why == "The answer was cut off; partial: the text comes from its last attempts"


def test_flags_are_kept(store):
    store.write_page(flagged(1))
    assert store.page(1) == flagged(1)


def test_a_page_without_flags_is_understood_by_versions_that_know_none(store):
    store.write_page(page(1))
    assert "flags" not in json.loads((store.directory / "pages/0001.json").read_text())


def test_a_page_of_a_version_that_did_not_measure_the_first_token_is_read(store):
    store.write_page(page(1))
    text = (store.directory / "pages/0001.json").read_text()
    assert "first_seconds" not in text
    assert store.page(1).first_seconds is None
    store.write_page(page(1, first_seconds=0.25))
    assert store.page(1).first_seconds == 0.25


def test_strictly_a_flagged_page_has_failed_and_its_text_is_left_out(store):
    store.write_page(page(1))
    store.write_page(flagged(2))
    one, two = store.results([1, 2], strict=True)
    assert one == page(1)
    assert (two.status, two.reason) == (PageStatus.FAILED, FailureReason.FLAGGED)
    assert two.detail == "damaged: half of it is missing"
    assert list(store.sections([2], strict=True)) == ["<!-- page 2, failed: flagged -->\n\n"]
    assert list(store.sections([2])) == ["<!-- page 2 -->\n\nHello.\n\n"]


def test_a_page_file_is_json_that_tells_its_schema(store):
    store.write_page(page(12))
    stored = json.loads((store.directory / "pages" / "0012.json").read_text())
    assert (stored["schema_version"], stored["page"], stored["status"]) == (1, 12, "read")


def test_what_is_stored_is_its_owners_alone(store):
    store.write_page(page(1))
    written = store.directory / "pages" / "0001.json"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (store.directory, written.parent, written)]
    assert modes == [0o700, 0o700, 0o600]


def test_a_later_result_replaces_an_earlier_one(store):
    store.write_page(page(1, "once"))
    store.write_page(page(1, "twice"))
    assert store.page(1).text == "twice"
    assert files(store) == {"pages/0001.json"}


# document.md


def test_the_document_has_its_pages_in_order_behind_markers(store):
    for result in (page(3, "the end"), page(1, "# Title"), failed(2), blank(4)):
        store.write_page(result)
    store.write_document((1, 2, 3, 4))
    assert store.document_path.read_text() == (
        "<!-- page 1 -->\n\n# Title\n\n"
        "<!-- page 2, failed: truncated -->\n\n"
        "<!-- page 3 -->\n\nthe end\n\n"
        "<!-- page 4, blank -->\n\n"
    )


def test_a_page_without_result_is_left_out_of_the_document(store):
    store.write_page(page(2, "two"))
    store.write_document((1, 2))
    assert store.document_path.read_text() == "<!-- page 2 -->\n\ntwo\n\n"


# Data


def test_data_are_stored_with_their_page_and_read_back(store):
    store.write_page(page(1, data={"z": 1.5, "a": ["Grüße", None]}))
    result = store.page(1)
    assert result.data == {"z": 1.5, "a": ["Grüße", None]}
    assert list(result.data) == ["z", "a"]


def test_a_page_without_data_is_stored_as_by_versions_before_data(store):
    store.write_page(page(1))
    assert "data" not in json.loads((store.pages_path / "0001.json").read_text())


def test_data_have_a_line_for_each_page_in_order_which_says_why_there_are_none(store):
    for result in (page(3, data={"total": 3}), page(1, data=[1]), failed(2), blank(4)):
        store.write_page(result)
    store.write_data((1, 2, 3, 4))
    assert [json.loads(line) for line in store.data_path.read_text().splitlines()] == [
        {"page": 1, "status": "read", "data": [1]},
        {"page": 2, "status": "failed", "data": None, "reason": "truncated"},
        {"page": 3, "status": "read", "data": {"total": 3}},
        {"page": 4, "status": "blank", "data": None},
    ]


def test_no_text_within_data_ends_a_line(store):
    text = "a\nb\u2028c\u2029d\u0085e"
    store.write_page(page(1, data=text))
    store.write_data((1,))
    (line,) = store.data_path.read_text().splitlines()
    assert json.loads(line)["data"] == text


def test_in_a_strict_run_a_flagged_page_has_no_data(store):
    store.write_page(flagged(1).model_copy(update={"data": {"total": 1}}))
    store.write_data((1,), strict=True)
    assert json.loads(store.data_path.read_text()) == {"page": 1, "status": "failed", "data": None, "reason": "flagged"}

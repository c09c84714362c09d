"""Which pages are still to be read, and which page is the same as which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import OutputError
from tasks.core.jobs import BackendName, ReadOptions
from tasks.results.store import ResultStore
from tests.unit.tasks.results.stored import DIGEST, DOCUMENT, OPTIONS, blank, failed, page, planned

# Which pages are still to be read


def test_every_page_of_a_new_document_is_missing(tmp_path):
    assert ResultStore(tmp_path / "none").missing(planned(), DIGEST) == (1, 2, 3)


def test_a_page_that_was_read_or_is_blank_is_not_missing(store):
    store.write_page(page(1))
    store.write_page(blank(2))
    assert store.missing(planned(), DIGEST) == (3,)


def test_a_page_that_failed_is_missing(store):
    store.write_page(failed(1))
    assert store.missing(planned(numbers=(1,)), DIGEST) == (1,)


def test_a_page_that_was_read_in_another_way_is_missing(store):
    store.write_page(page(1))
    hotter = OPTIONS.model_copy(update={"prompt": "Translate."})
    assert store.missing(planned(numbers=(1,), options=hotter), DIGEST) == (1,)


def test_a_page_that_another_model_read_is_missing(store):
    store.write_page(page(1))
    assert store.missing(planned(numbers=(1,)), "e" * 64) == (1,)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: "null",
        lambda text: text.replace('"schema_version": 1', '"schema_version": 2'),
        lambda text: text.replace("Hello", "\udcff"),
    ],
    ids=["empty", "cut off", "another thing", "a later schema", "not UTF-8"],
)
def test_a_page_that_cannot_be_understood_is_missing(store, damage: Callable[[str], str]):
    store.write_page(page(1))
    path = store.directory / "pages" / "0001.json"
    path.write_text(damage(path.read_text()), errors="surrogateescape")
    assert store.missing(planned(numbers=(1,)), DIGEST) == (1,)


def test_a_page_file_that_cannot_be_read_is_named(store):
    (store.directory / "pages" / "0001.json").mkdir()
    with pytest.raises(OutputError, match=r"0001\.json cannot be read: .*--output"):
        store.missing(planned(), DIGEST)


# Identity

options = st.builds(
    ReadOptions,
    prompt=st.text(min_size=1),
    longest_side=st.integers(64, 8192),
    num_ctx=st.integers(256, 100_000),
    num_predict=st.integers(1, 100_000),
)
requests = st.tuples(
    st.sampled_from(["a" * 64, "b" * 64]), st.integers(1, 300), st.sampled_from(["c" * 64, "d" * 64]), options
)


def identity(request: tuple[str, int, str, ReadOptions]) -> str:
    sha256, number, digest, options = request
    plan = planned(document=DOCUMENT.model_copy(update={"sha256": sha256}), options=options)
    return plan.identity(number, digest)


@given(requests, requests)
def test_pages_are_the_same_only_if_file_number_model_and_options_are(one, other):
    assert (identity(one) == identity(other)) == (one == other)


@given(requests, st.sampled_from(["prompt", "longest_side", "num_ctx", "num_predict"]))
def test_every_option_is_a_part_of_the_identity(request, name):
    sha256, number, digest, options = request
    value = getattr(options, name)
    changed = options.model_copy(update={name: value + ("." if name == "prompt" else 1)})
    assert identity((sha256, number, digest, changed)) != identity(request)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "slots": st.integers(1, 256),
            "attempts": st.integers(1, 20),
            "numbers": st.just((1,)),
            "backend": st.sampled_from(BackendName),
            "model": st.text(min_size=1),
            "output": st.just(Path("/elsewhere")),
            "force": st.booleans(),
            "require_gpu": st.booleans(),
            "document": st.just(DOCUMENT.model_copy(update={"path": Path("/moved/renamed.pdf")})),
        },
    )
)
def test_how_and_where_a_page_is_read_is_no_part_of_its_identity(changes):
    assert planned(**changes).identity(1, DIGEST) == planned().identity(1, DIGEST)

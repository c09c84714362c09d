"""Pages taken from their text layer: which, and what stays when a person changes their mind."""

from __future__ import annotations

from datetime import UTC, datetime

import pymupdf
import pytest

from tasks.core.jobs import BackendName, Plan, ReadOptions, TextLayer
from tasks.documents.pdf import open_document
from tasks.documents.shared_processes import shared_processes
from tasks.reading.layer_reader import LayerSource, count_taken, take_layers
from tasks.results.page import PageResult, PageSource, PageStatus
from tasks.results.store import ResultStore
from tasks.settings.reading import LimitSettings
from tests.support import layers

DIGEST = "d" * 64
OPTIONS = ReadOptions(prompt="Transcribe.", longest_side=200, num_ctx=8192, num_predict=4096)


@pytest.fixture
async def document(tmp_path):
    """Three pages: sound prose, a scan under the text of an earlier OCR, and nothing."""
    path = tmp_path / "mixed.pdf"
    with pymupdf.open() as pdf:
        for make in (layers.prose, layers.recognized, layers.blank):
            with pymupdf.open(make(tmp_path / "page.pdf")) as page:
                pdf.insert_pdf(page)
        pdf.save(path)
    async with shared_processes():
        yield path


def planned(path, **changes: object) -> Plan:
    facts = {
        **{"document": open_document(path, LimitSettings()), "numbers": (1, 2, 3), "backend": BackendName.URL},
        **{"model": "reader:1b", "options": OPTIONS, "output": path.parent / "results", "slots": 1, "attempts": 1},
        **{"force": False, "require_gpu": False, "text_layer": TextLayer.AUTO},
    }
    return Plan.model_validate({**facts, **changes})


async def taken(plan: Plan, path, digest: str | None = DIGEST) -> set[int]:
    store = ResultStore(plan.output)
    store.prepare()
    return await take_layers(LayerSource(path, LimitSettings()), plan, store, digest)


def read_by_a_model(plan: Plan, number: int) -> None:
    page = PageResult(
        page=number, identity=plan.identity(number, DIGEST), status=PageStatus.READ, text="the model's",
        model=plan.model, digest=DIGEST, finished_at=datetime.now(UTC),
    )  # fmt: skip
    store = ResultStore(plan.output)
    store.prepare()
    store.write_page(page)


async def test_auto_takes_the_pages_whose_layer_is_sound(document):
    plan = planned(document)
    assert await taken(plan, document) == {1, 3}
    store = ResultStore(plan.output)
    first, last = store.page(1), store.page(3)
    assert (first.source, first.status, first.flags) == (PageSource.TEXT_LAYER, PageStatus.READ, ())
    assert first.layer.score > 0.8
    assert last.status is PageStatus.BLANK
    assert store.missing(plan, DIGEST) == (2,)


async def test_always_takes_every_page_that_has_text_and_flags_what_is_not_sound(document):
    plan = planned(document, text_layer=TextLayer.ALWAYS)
    assert await taken(plan, document) == {1, 2, 3}
    second = ResultStore(plan.output).page(2)
    assert [flag.name for flag in second.flags] == ["text-layer"]
    assert "invisible" in second.flags[0].detail


async def test_never_takes_none(document):
    assert await taken(planned(document, text_layer=TextLayer.NEVER), document) == set()


@pytest.mark.parametrize("digest", [DIGEST, None])
async def test_what_a_model_has_read_stays(document, digest):
    plan = planned(document)
    read_by_a_model(plan, 1)
    assert await taken(plan, document, digest) == {3}
    assert ResultStore(plan.output).page(1).text == "the model's"


async def test_what_a_layer_gave_stays_for_never_until_it_is_read_anew(document):
    await taken(planned(document), document)
    store = ResultStore(planned(document).output)
    never = planned(document, text_layer=TextLayer.NEVER)
    assert store.missing(never, DIGEST) == (2,)
    assert store.missing(never, "another model's") == (2,)
    anew = planned(document, text_layer=TextLayer.NEVER, force=True, began=datetime.now(UTC))
    assert store.missing(anew, DIGEST) == (1, 2, 3)


async def test_a_page_that_stands_is_not_taken_again_unless_it_is_read_anew(document):
    await taken(planned(document), document)
    assert await taken(planned(document), document) == set()
    assert await taken(planned(document, force=True, began=datetime.now(UTC)), document) == {1, 3}


async def test_sound_layers_are_counted_and_of_many_pages_estimated(document):
    source = LayerSource(document, LimitSettings())
    assert await count_taken(source, (1, 2, 3)) == 2
    assert await count_taken(source, (1, 2, 3), most=1) == 3

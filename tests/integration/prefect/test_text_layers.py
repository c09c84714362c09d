"""`hearth read --text-layer auto`, the whole way."""

from __future__ import annotations

import pymupdf

from tests.support import layers
from tests.support.pdfs import written

NOWHERE = {"HEARTH_URL": "http://127.0.0.1:9"}


def joined(path, *makers):
    with pymupdf.open() as pdf:
        for make in makers:
            with pymupdf.open(make(path.with_suffix(".page.pdf"))) as page:
                pdf.insert_pdf(page)
        pdf.save(path)
    return path


def test_a_document_whose_every_page_is_sound_needs_no_server(hearth, tmp_path):
    """Nothing listens at the address of its server."""
    path = joined(tmp_path / "sound.pdf", layers.prose, layers.columns, layers.blank)
    done = hearth.read(path, "--text-layer", "auto", "--backend", "url", "--model", "reader:1b", **NOWHERE)
    assert (done.code, done.json["read"], done.json["blank"], done.json["text_layer"]) == (0, 2, 1, 3)
    assert (done.json["cost_usd"], done.manifest["endpoint"]) == (0, None)
    assert done.manifest["text_layer"] == {"pages": 3, "fallback": 0, "version": 1}
    assert [page["source"] for page in done.manifest["pages"]] == ["text-layer"] * 3
    assert done.document.startswith("<!-- page 1 -->\n\nA baker who lights the oven once a day")


def test_a_batch_whose_every_page_is_sound_needs_no_server(hearth, tmp_path):
    (tmp_path / "inbox").mkdir()
    layers.prose(tmp_path / "inbox" / "one.pdf")
    layers.columns(tmp_path / "inbox" / "two.pdf")
    options = ("--text-layer", "auto", "--backend", "url", "--model", "reader:1b")
    done = hearth("batch", tmp_path / "inbox", *options, "--json", **NOWHERE)
    assert done.code == 0, done.err


def test_a_mixed_document_is_read_by_the_model_where_its_layer_is_not_sound(hearth, tmp_path):
    path = joined(tmp_path / "mixed.pdf", layers.prose, lambda page: written(page, "Too few words"))
    options = ("--backend", "embedded", "--output", tmp_path / "out")
    done = hearth.read(path, "--text-layer", "auto", *options)
    assert (done.code, done.json["read"], done.json["read_now"], done.json["text_layer"]) == (0, 2, 2, 1)
    assert "Too few words" in done.document
    again = hearth.read(path, *options)
    assert (again.json["read_now"], again.page(1)["source"]) == (0, "text-layer")


def test_a_prompt_of_ones_own_and_text_layers_exclude_each_other(hearth, tmp_path):
    done = hearth.read(layers.prose(tmp_path / "a.pdf"), "--text-layer", "auto", "--prompt", "Sum up.")
    assert done.code == 2
    assert "cannot follow --prompt" in done.err

"""What is asked of a plan: pages counted, and the page times of runs that were made."""

from __future__ import annotations

import json
from pathlib import Path

import pymupdf
import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tasks.core.errors import InputError
from tasks.core.options import TextLayer
from tasks.documents.sample import write_sample
from tasks.planning.request import PlanRequest, make_plan
from tasks.settings.settings import Settings
from tests.support import layers

HEAD = {
    "schema_version": 1,
    "status": "complete",
    "document": {"path": "/a.pdf", "sha256": "0" * 64, "pages": 30, "size": 1},
    "model": "qwen2.5vl:7b",
    "digest": "d",
    "options": {"prompt": "p", "longest_side": 1000, "num_ctx": 4096, "num_predict": 1000},
    "endpoint": None,
    "read_now": 30,
    "started_at": "2026-11-24T00:00:00Z",
    "finished_at": "2026-11-24T00:00:00Z",
    "output": "/out",
}


def _run(directory: Path, seconds: float, model: str) -> None:
    directory.mkdir(parents=True)
    entry = {"status": "read", "identity": "i", "reason": None, "detail": None, "attempts": []}
    entry |= {"seconds": seconds, "tokens_in": 1, "tokens_out": 1}
    pages = ",\n".join(json.dumps(entry | {"page": number}) for number in range(1, 31))
    head = json.dumps(HEAD | {"model": model})[1:-1]
    (directory / "manifest.json").write_text(f'{{{head},\n "pages": [\n{pages}\n ]\n}}\n')


def test_pages_of_documents_and_folders_are_counted(tmp_path: Path):
    write_sample(tmp_path / "a.pdf")
    (tmp_path / "more").mkdir()
    write_sample(tmp_path / "more" / "B.PDF")
    one = make_plan(PlanRequest(sources=(str(tmp_path / "a.pdf"),)), Settings()).pages
    assert one > 0
    assert make_plan(PlanRequest(sources=(str(tmp_path),)), Settings()).pages == 2 * one


@pytest.mark.parametrize("asked", [PlanRequest(), PlanRequest(pages=1, sources=("a.pdf",))])
def test_neither_pages_nor_documents_or_both_are_refused(asked: PlanRequest):
    with pytest.raises(InputError, match="--pages"):
        make_plan(asked, Settings())


def test_a_folder_without_a_pdf_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="contains no document"):
        make_plan(PlanRequest(sources=(str(tmp_path),)), Settings())


def test_page_times_are_those_that_the_model_took(tmp_path: Path):
    _run(tmp_path / "out" / "a", 2.0, "qwen2.5vl:7b")
    _run(tmp_path / "out" / "b", 90.0, "another")
    plan = make_plan(PlanRequest(pages=8), Settings(output=tmp_path / "out"))
    assert plan.notes[0] == "Page times: measured, from 30 pages that qwen2.5vl:7b has read."
    warm = next(row for row in plan.rows if row.running == "warm already" and row.machines == 1)
    assert warm.reading.typical == pytest.approx(2.0)


def test_without_runs_page_times_are_assumed_and_it_is_said(tmp_path: Path):
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "manifest.json").write_text("{ damaged")
    plan = make_plan(PlanRequest(pages=8), Settings(output=tmp_path / "out"))
    assert plan.notes[0].startswith("Page times: assumed")


def test_page_times_that_are_asked_for_go_before_measured_ones(tmp_path: Path):
    _run(tmp_path / "out" / "a", 2.0, "qwen2.5vl:7b")
    asked = PlanRequest(pages=8, assume={"page_seconds": "4", "page_sigma": "0"})
    plan = make_plan(asked, Settings(output=tmp_path / "out"))
    assert next(row for row in plan.rows if row.running == "warm already").reading.typical == pytest.approx(4.0)


def test_the_table_fits_in_100_columns_and_ends_with_a_verdict():
    done = CliRunner().invoke(app, ["plan", "--pages", "50", "--deadline", "10min"])
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= 100
    assert "Cheapest within 10.0 min:" in done.output


def test_the_plan_as_json_names_its_assumptions(tmp_path: Path):
    arguments = ["plan", "--pages", "50", "--classic", "--json", "--svg", str(tmp_path / "a.svg")]
    plan = json.loads(CliRunner().invoke(app, arguments).output)
    assert plan["given"]["usd_per_hour"] == 0.75
    assert (tmp_path / "a.svg").read_text().startswith("<svg")


def test_a_deadline_that_is_none_is_refused():
    assert isinstance(CliRunner().invoke(app, ["plan", "--pages", "5", "--deadline", "soon"]).exception, InputError)


@pytest.mark.parametrize("wrong", ["region=mars", "instance_type=p9.foo"])
def test_a_machine_without_any_price_is_refused_with_what_to_do(wrong: str):
    asked = ["plan", "--pages", "5", "--assume", wrong]
    error = CliRunner().invoke(app, asked).exception
    assert isinstance(error, InputError)
    assert "hearth prices refresh --region" in str(error)


def test_a_machine_without_a_price_of_its_own_is_planned_at_the_one_that_is_told():
    asked = PlanRequest(pages=5, assume={"instance_type": "p9.foo", "usd_per_hour": "2"})
    best = make_plan(asked, Settings()).best
    assert best is not None


@pytest.mark.parametrize("budget", ["0", "-1"])
def test_a_budget_of_nothing_is_refused(budget: str):
    error = CliRunner().invoke(app, ["plan", "--pages", "5", "--budget", budget]).exception
    assert isinstance(error, InputError)
    assert "--budget 5" in str(error)


# Text layers


def _mixed(path: Path) -> str:
    """Two pages with sound text layers and one without any."""
    with pymupdf.open() as pdf:
        for make in (layers.prose, layers.columns, layers.scanned):
            with pymupdf.open(make(path)) as page:
                pdf.insert_pdf(page)
        pdf.save(path.with_name("mixed.pdf"))
    path.unlink()
    return str(path.with_name("mixed.pdf"))


def test_pages_that_are_taken_from_their_text_layer_are_not_planned(tmp_path: Path):
    asked = PlanRequest(sources=(_mixed(tmp_path / "page.pdf"),), text_layer=TextLayer.AUTO)
    plan = make_plan(asked, Settings())
    assert plan.pages == 1
    assert "2 of 3 pages are taken from their text layer, which leaves 1." in plan.notes


def test_without_the_option_a_note_says_what_it_would_take(tmp_path: Path):
    plan = make_plan(PlanRequest(sources=(_mixed(tmp_path / "page.pdf"),)), Settings())
    assert plan.pages == 3
    assert plan.notes[-1].startswith("2 of 3 pages have a sound text layer: --text-layer auto")


def test_of_many_pages_the_text_layers_are_estimated_by_a_sample(tmp_path: Path):
    with pymupdf.open(layers.prose(tmp_path / "page.pdf")) as page, pymupdf.open() as pdf:
        for _ in range(80):
            pdf.insert_pdf(page)
        pdf.save(tmp_path / "many.pdf")
    plan = make_plan(PlanRequest(sources=(str(tmp_path / "many.pdf"),), text_layer=TextLayer.AUTO), Settings())
    assert plan.pages == 0
    assert plan.notes == ("About 80 of 80 pages are taken from their text layer, which leaves 0.",)


def test_if_no_page_is_left_there_is_nothing_to_compare(tmp_path: Path):
    path, svg = layers.prose(tmp_path / "a.pdf"), tmp_path / "a.svg"
    done = CliRunner().invoke(app, ["plan", str(path), "--text-layer", "auto", "--svg", str(svg)])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("No page is left to a model: nothing is started, and it costs nothing.")
    assert svg.read_text().startswith("<svg")


@pytest.mark.parametrize(("share", "left"), [({}, 100), ({"sound_layers": "0.8"}, 20)])
def test_of_a_number_of_pages_the_text_layers_are_assumed_and_it_is_said(share: dict[str, str], left: int):
    plan = make_plan(PlanRequest(pages=100, text_layer=TextLayer.AUTO, assume=share), Settings())
    assert plan.pages == left
    assert plan.notes[-1].startswith(f"Assumed: {100 - left} of 100 pages are taken from their text layer")

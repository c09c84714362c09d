"""Pages as the default engine reads them, through the whole server."""

import base64
import io
import json
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from tasks.documents.render import Renderer
from tasks.documents.sample import sample_pages
from tasks.settings.reading import LimitSettings
from tests.benchmarks.accuracy import SAMPLE_CHECKS, character_errors, words_missing
from tests.benchmarks.page_checks import load_checks
from tests.integration.embedded.pages import LEFT, PARAGRAPHS, RIGHT, png
from tests.support import scans
from tests.support.waiting import PATIENCE, until

MODEL = "tesseract:eng"
WORDS = " ".join(PARAGRAPHS)


def flat(text):
    return " ".join(text.split())


def test_a_page_is_read_word_for_word(reading, page):
    assert flat(reading.read(png(page))) == WORDS


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_format_reads_alike(reading, page, kind):
    assert flat(reading.read(png(page, kind))) == WORDS


def test_paragraphs_are_set_apart_by_one_blank_line_and_their_lines_are_not(reading, page):
    first, second = reading.read(png(page)).split("\n\n")
    assert (flat(first), flat(second)) == PARAGRAPHS
    assert "\n" in first


def test_the_text_has_no_form_feed_and_no_space_at_its_ends(reading, page):
    text = reading.read(png(page))
    assert "\f" not in text
    assert text == text.strip()


def test_columns_are_read_one_after_the_other(reading, two_columns):
    assert flat(reading.read(png(two_columns))) == f"{LEFT} {RIGHT}"


def test_a_table_keeps_its_columns_and_the_spaces_between_them(reading):
    (scan, text), number = list(sample_pages())[2], 3
    size = (round(scan.width * 1288 / scan.height), 1288)
    read = reading.read(png(scan.resize(size, Image.Resampling.LANCZOS)))
    assert character_errors(read, text) < 0.01
    checks = [check for check in load_checks(SAMPLE_CHECKS) if check.page == number]
    assert [check.id for check in checks if not check.passes(read)] == []


async def _upright(path: Path, page: Image.Image, **options: bool) -> bytes:
    """The image of a scan as a run sends it."""
    async with Renderer(
        scans.written(path / "scan.pdf", page.convert("L")), 1288, LimitSettings(), **options
    ) as renderer:
        return (await renderer.page(1)).png


@pytest.mark.parametrize("degrees", [90, 180, 270])
async def test_a_turned_page_is_read_once_it_is_put_upright(reading, page, tmp_path, degrees):
    lying = page.rotate(degrees, expand=True)
    assert flat(reading.read(await _upright(tmp_path, lying))) == WORDS


async def test_a_page_that_may_not_be_turned_is_read_upside_down(reading, page, tmp_path):
    lying = page.rotate(180)
    assert words_missing(reading.read(await _upright(tmp_path, lying, turn=False)), WORDS) > 0.9


@pytest.mark.parametrize("degrees", [-2, 2])
async def test_a_page_laid_on_the_glass_askew_is_read(reading, page, tmp_path, degrees):
    askew = page.rotate(degrees, expand=True, fillcolor="white", resample=Image.Resampling.BICUBIC)
    assert flat(reading.read(await _upright(tmp_path, askew))) == WORDS


def test_small_print_is_read(reading, page):
    small = page.resize((page.width // 2, page.height // 2), Image.Resampling.LANCZOS)
    assert flat(reading.read(png(small))) == WORDS


@pytest.mark.parametrize("colour", ["white", "black", "grey"])
def test_a_blank_page_has_no_text(reading, colour):
    assert reading.read(png(Image.new("L", (800, 1000), colour))) == ""


def test_noise_has_no_text(reading):
    random.seed(7)
    assert reading.read(png(Image.frombytes("L", (400, 500), random.randbytes(400 * 500)))) == ""


def test_ink_on_a_transparent_page_is_read_as_if_on_white_paper(reading, page):
    ink = Image.new("RGBA", page.size, (0, 0, 0, 0))
    ink.putalpha(page.convert("L").point(lambda value: 255 - value))
    assert flat(reading.read(png(ink))) == WORDS


def test_the_orientation_that_a_camera_noted_is_honoured(reading, page):
    exif = Image.Exif()
    exif[0x0112] = 3  # held upside down
    buffer = io.BytesIO()
    page.rotate(180).save(buffer, "JPEG", exif=exif, quality=95)
    assert flat(reading.read(buffer.getvalue())) == WORDS


def test_sixteen_bit_grey_is_read(reading, page):
    deep = page.convert("L").convert("I").point(lambda value: value * 257).convert("I;16")
    assert flat(reading.read(png(deep))) == WORDS


def test_several_images_are_read_in_order(reading, page, two_columns):
    images = [base64.b64encode(png(each)).decode() for each in (two_columns, page)]
    text = reading.generate(images=images).json()["response"]
    assert flat(text) == f"{LEFT} {RIGHT} {WORDS}"


def test_a_page_reads_the_same_in_every_slot(reading, page):
    with ThreadPoolExecutor(4) as pool:
        texts = set(pool.map(reading.read, [png(page)] * 4))
    assert len(texts) == 1


def test_other_requests_are_answered_while_every_slot_is_busy(reading, page):
    """A version takes a small part of the time of a page, though pages of megabytes wait for both slots."""
    scan = Image.blend(page, Image.effect_noise(page.size, 20).convert("RGB"), 0.2)
    body = {"model": MODEL, "prompt": "x", "images": [base64.b64encode(png(scan)).decode()]}
    request = reading.http.build_request("POST", "/api/generate", content=json.dumps(body).encode())

    def seconds(call):
        started = time.monotonic()
        call()
        return time.monotonic() - started

    versions = []
    with ThreadPoolExecutor(6) as pool:
        pages = [pool.submit(seconds, lambda: reading.http.send(request)) for _ in range(6)]
        while not all(each.done() for each in pages):
            versions.append(seconds(lambda: reading.http.get("/api/version")))
    assert statistics.median(versions) < max(each.result() for each in pages) / 10


def test_neither_text_nor_prompt_is_logged(start, store, page, reading):
    server = start("--models", str(store))
    server.read(png(page), prompt="the secret prompt")
    server.process.terminate()
    server.process.wait(PATIENCE)
    until(lambda: any("POST /api/generate 200" in line for line in server.log))
    log = "".join(server.log)
    assert "harbour" not in log
    assert "secret" not in log

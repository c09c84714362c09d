"""Text layers, extracted in the sandboxed process from PDFs of each kind, and judged."""

from __future__ import annotations

import pytest
from PIL import Image

from tasks.layers.judge import Verdict
from tasks.reading.layer_reader import LayerSource
from tasks.settings.reading import LimitSettings
from tests.support import layer_tables, layer_traps, layers
from tests.support.pdfs import with_endless_page


@pytest.fixture
def extracted(one_sandbox, tmp_path):
    """Return the text and the verdict of a kind's first page."""

    async def extract(make, *, limits=None) -> tuple[str, Verdict]:
        found = []

        async def use(_: int, text: str, verdict: Verdict) -> None:
            found.append((text, verdict))

        await LayerSource(make(tmp_path / "made.pdf"), limits or LimitSettings()).judged([1], use)
        return found[0]

    return extract


async def test_sound_layers_are_sound(extracted):
    verdicts = {make.__name__: (await extracted(make))[1] for make in (*layers.SOUND, *layer_traps.SOUND)}
    assert {name: verdict.why for name, verdict in verdicts.items() if not verdict.sound} == {}


async def test_unsound_layers_are_not_sound(extracted):
    verdicts = {make.__name__: (await extracted(make))[1] for make in layers.UNSOUND}
    assert [name for name, verdict in verdicts.items() if verdict.sound] == []


async def test_columns_are_read_one_after_the_other(extracted):
    text, _ = await extracted(layers.columns)
    assert text.startswith("# The warm oven\n\nleft words in the line 0 of it left words")
    assert "The left column ends here.\n\nThe right column begins here." in text


async def test_a_table_between_rules_is_a_table(extracted):
    text, _ = await extracted(layers.table)
    assert text.endswith(
        "| Day | Loaves of bread |  |\n| --- | --- | --- |\n| Monday | 120 | 41 |\n| Tuesday | 85 | 27 |"
    )


async def test_a_table_of_figures_without_rules_is_a_table(extracted):
    text, _ = await extracted(layers.figures)
    assert text.endswith(
        "| Algeria, in the north of the land | 33 400 | 33 401 | 33 402 | 33 403 | 33 404 |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| Angola, in the south | 34 400 | 34 401 | 34 402 | 34 403 | 34 404 |\n"
        "| Benin | 35 400 | 35 401 | 35 402 | 35 403 | 35 404 |\n"
        "| Botswana | 36 400 | 36 401 | 36 402 | 36 403 | 36 404 |"
    )


async def test_signs_of_currencies_and_leaders_are_no_cells_and_a_heading_stays_above_its_figures(extracted):
    text, _ = await extracted(layer_tables.accounts)
    assert text.endswith(
        "|  | Jan 26, 2025 | Jan 28, 2024 | Jan 29, 2023 |\n"
        "| --- | --- | --- | --- |\n"
        "|  | (In millions) |  |  |\n"
        "| Cost of revenue | $ 178 | $ 141 | $ 138 |\n"
        "| Research | 3,423 | 2,532 | 1,892 |\n"
        "| Total | $ 4,737 | $ 3,549 | $ 2,710 |"
    )


async def test_prose_in_three_columns_is_no_table(extracted):
    text, _ = await extracted(layer_tables.three_columns)
    assert "|" not in text
    assert text.index("The first column ends here.") < text.index("Here begins the second column.")
    assert text.index("The second column ends here.") < text.index("Here begins the third column.")


async def test_divided_words_are_joined_and_compounds_keep_their_hyphens(extracted):
    text, _ = await extracted(layers.hyphenated)
    assert "remarkably fond of the old and state-of-the-art ovens.\n\n- flour and water\n\n- salt and yeast" in text


async def test_fields_and_annotations_are_part_of_the_text(extracted):
    text, _ = await extracted(layers.with_form_and_note)
    assert "Kowalczyk the miller" in text
    assert "remember the yeast" in text


async def test_a_turned_page_reads_as_an_upright_one(extracted):
    assert (await extracted(layers.turned_page))[0] == (await extracted(layers.prose))[0]


async def test_what_is_printed_twice_is_there_once(extracted):
    assert (await extracted(layers.overprinted))[0] == (await extracted(layers.prose))[0]


async def test_what_is_switched_off_is_not_there(extracted):
    assert "draft" not in (await extracted(layer_traps.switched_off))[0]


@pytest.mark.parametrize("make", [layer_traps.cropped, layer_traps.clipped])
async def test_what_the_page_cuts_off_is_not_there(extracted, make):
    text, _ = await extracted(make)
    assert "A baker who lights the oven" in text
    assert "nobody" not in text
    assert "ignore" not in text


async def test_ligatures_are_letters(extracted):
    assert (await extracted(layer_traps.ligatures))[0].endswith("The office of the baffled baker finds a flour mill")


async def test_an_upside_down_page_reads_as_an_upright_one(extracted):
    assert (await extracted(layer_traps.upside_down))[0] == (await extracted(layers.prose))[0]


async def test_a_page_all_of_which_runs_up_reads_as_an_upright_one(extracted):
    text = (await extracted(layer_traps.sideways_throughout))[0]
    assert text.split() == "".join(layers.PROSE * 2).split()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (layer_traps.below_a_picture, "not to be seen"),
        (layer_traps.on_a_picture, "stand on a picture"),
        (layer_traps.translated, "invisible"),
        (layer_traps.transparent, "invisible"),
        (layer_traps.redacted, "not to be seen"),
        (layer_traps.of_no_size, "not to be seen"),
        (layer_traps.squeezed, "not to be seen"),
        (layer_traps.outlined, "a drawing may hold text"),
        (layer_traps.down_the_page, "vertical writing"),
        (layer_traps.from_right_to_left, "script that is not judged"),
        (layer_traps.undecoded, "no meaning"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_a_layer_that_is_not_sound_says_why(extracted, make, why):
    text, verdict = await extracted(make)
    assert (verdict.sound, why in verdict.why) == (False, True), (verdict, text)


async def test_a_page_that_takes_too_long_has_no_layer(extracted):
    text, verdict = await extracted(with_endless_page, limits=LimitSettings(render_seconds=0.5))
    assert (text, verdict.sound) == ("", False)
    assert "too long" in verdict.why


async def test_a_picture_has_no_text_layer(extracted):
    text, verdict = await extracted(picture_of_words)
    assert (text, verdict.sound, verdict.why) == ("", False, "a picture has no text layer")


def picture_of_words(path):
    path = path.with_suffix(".png")
    Image.new("L", (200, 100), 255).save(path)
    return path

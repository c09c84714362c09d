"""Pages as the embedded server sees them, with whatever inputs can be made up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.embedded.errors import ImageError
from tasks.embedded.images import inspect
from tasks.embedded.straighten import level, looks_sideways
from tasks.embedded.tesseract import tidy
from tests.integration.embedded.pages import PARAGRAPHS, render


@pytest.fixture(scope="module")
def page():
    """Two paragraphs."""
    return render(((60, 80, 535, 180), PARAGRAPHS[0]), ((60, 200, 535, 300), PARAGRAPHS[1]))


def straighten(page: Image.Image) -> Image.Image:
    """Return a grey page with level lines, upright or upside down."""
    return level(page.transpose(Image.Transpose.ROTATE_90) if looks_sideways(page) else page)


class TestPages:
    @given(st.binary(max_size=200))
    def test_random_bytes_are_no_image(self, data):
        with pytest.raises(ImageError):
            inspect(data)

    @pytest.mark.parametrize("degrees", [-7, -3, -1, 1, 3, 7])
    def test_a_page_is_straightened_to_half_a_degree(self, page, degrees):
        grey = page.convert("L")
        askew = grey.rotate(degrees, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC)
        back = straighten(askew)
        assert back.size != askew.size
        assert straighten(back) is back

    def test_a_level_page_is_left_as_it_is(self, page):
        grey = page.convert("L")
        assert straighten(grey) is grey

    @pytest.mark.parametrize("shade", [0, 128, 255])
    def test_a_blank_page_is_left_as_it_is(self, shade):
        blank = Image.new("L", (600, 800), shade)
        assert straighten(blank) is blank

    @pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
    def test_the_smallest_images_are_left_as_they_are(self, size):
        image = Image.new("L", size)
        assert straighten(image) is image

    def test_text_is_tidied(self):
        assert tidy(" a \nb\n \n\n\nc\f\n") == "a\nb\n\nc"

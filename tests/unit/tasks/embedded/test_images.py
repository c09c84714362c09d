"""Pages as the embedded server sees them, with whatever inputs can be made up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.embedded.errors import ImageError
from tasks.embedded.images import inspect
from tasks.embedded.tesseract import tidy


class TestPages:
    @given(st.binary(max_size=200))
    def test_random_bytes_are_no_image(self, data):
        with pytest.raises(ImageError):
            inspect(data)

    def test_text_is_tidied(self):
        assert tidy(" a \nb\n \n\n\nc\f\n") == "a\nb\n\nc"

"""The model that pages are read with."""

MODEL = "tesseract:eng"

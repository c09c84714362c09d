"""Modules that pymupdf and Pillow import on demand: too late in a process that can open no file.

Pillow tries the decoders that are imported here, and could import no other.
"""

import base64
import encodings.ascii
import encodings.latin_1
import encodings.raw_unicode_escape
import encodings.unicode_escape
import heapq
import string
import textwrap
import traceback
import unicodedata

from PIL import (
    ImageColor,
    ImageFile,
    ImageFilter,
    ImagePalette,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

MODULES = (
    *(base64, heapq, string, textwrap, traceback, unicodedata, encodings),
    *(ImageColor, ImageFile, ImageFilter, ImagePalette),
    *(JpegImagePlugin, MpoImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin),
)

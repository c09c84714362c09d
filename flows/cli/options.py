"""Options that several commands share. Each help text names the unit, and the default that the code uses."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tasks.core.corrections import Straightening, Turning
from tasks.core.jobs import BackendName, Fallback, TextLayer
from tasks.core.options import Headers, Pictures
from tasks.settings.reading import ReadSettings

_READ = ReadSettings()


def _setting(variable: str, default: object, metavar: str, description: str, *names: str, **bounds: Any) -> Any:  # noqa: ANN401 - typer's
    """Return an option that takes its value from a setting when it is omitted."""
    shown = f"HEARTH_{variable}, or {default}"
    return typer.Option(*names, metavar=metavar, show_default=shown, help=description, **bounds)


Output = Annotated[
    str | None,
    _setting("OUTPUT", "results", "DIR|S3", "Directory of the results, or s3://bucket/prefix.", "--output", "-o"),
]
Backend = Annotated[
    BackendName | None,
    _setting("BACKEND", "auto", "NAME", f"Where the model runs: {', '.join(BackendName)}."),
]
Model = Annotated[
    str | None,
    _setting("MODEL", "the backend's", "NAME", "Name of the model in Ollama, for example qwen2.5vl:7b."),
]
Languages = Annotated[
    str | None,
    _setting(
        *("LANGUAGES", "English", "LANGUAGES"),
        "Languages of the documents for the embedded server, the most important first, for example deu+eng.",
    ),
]
Prompt = Annotated[
    str | None,
    _setting("READ__PROMPT", "plain transcription", "PROMPT", "Prompt that is sent with each page image."),
]
Slots = Annotated[
    int | None,
    _setting("SLOTS", "the backend's", "PAGES", "Maximum number of pages in flight.", min=1, max=256),
]
Attempts = Annotated[
    int | None,
    _setting("READ__ATTEMPTS", _READ.attempts, "TIMES", "Maximum attempts per page.", min=1, max=20),
]
LongestSide = Annotated[
    int | None,
    _setting(
        *("READ__LONGEST_SIDE", _READ.longest_side, "PIXELS", "Longest side of the page images in pixels."),
        **{"min": 64, "max": 8192},
    ),
]
NumCtx = Annotated[
    int | None,
    _setting("READ__NUM_CTX", _READ.num_ctx, "TOKENS", "Context length of the model in tokens.", min=256),
]
NumPredict = Annotated[
    int | None,
    _setting("READ__NUM_PREDICT", _READ.num_predict, "TOKENS", "Maximum length of a page's text in tokens.", min=1),
]
OfSchema = Annotated[
    Path | None,
    typer.Option(
        "--schema",
        metavar="FILE",
        show_default="none: Markdown",
        help="JSON Schema that the answer for each page follows, for example invoice.json; stored as data.jsonl.",
    ),
]
Profile = Annotated[
    str | None,
    _setting("READ__PROFILE", "the model's", "NAME", "Profile that says what the model is sent, for example olmocr-2."),
]
RunningHeaders = Annotated[
    Headers,
    typer.Option(metavar="NAME", help="Running headers, running footers and page numbers: keep, or drop."),
]
OfPictures = Annotated[
    Pictures,
    typer.Option(metavar="NAME", help="Pictures: omit, or placeholder (one line for each). Their text is read."),
]
MaxUsd = Annotated[
    float | None,
    typer.Option(
        metavar="USD", show_default="no limit", help="Start no further page once the machines have cost this much."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Read all pages again, even if their text is stored.")]
Strict = Annotated[bool, typer.Option("--strict", help="Treat flagged pages as failed.")]
OfFailed = Annotated[
    Fallback,
    typer.Option(
        metavar="NAME",
        help="Text of a failed page: none, partial (its last text) or text-layer (the PDF's own), flagged.",
    ),
]
OfText = Annotated[
    TextLayer,
    typer.Option(
        metavar="NAME",
        help="Take the text that the PDF has, without a model: never, auto (pages where it is sound), or always "
        "(flagged where it is not).",
    ),
]
OfTurned = Annotated[
    Turning,
    typer.Option(
        "--turn",
        metavar="NAME",
        help="Pages that lie on their side or upside down: auto (turn them, where it is certain which way), or never.",
    ),
]
OfSkewed = Annotated[
    Straightening,
    typer.Option(
        "--straighten", metavar="NAME", help="Scans that are skewed by 1 to 8 degrees: auto (straighten), or never."
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show Prefect's log.")]
Pool = Annotated[
    str | None,
    typer.Option(metavar="NAME", show_default="HEARTH_EC2__POOL, if EC2 is configured", help="Name of the EC2 pool."),
]
Svg = Annotated[Path | None, typer.Option(metavar="FILE", show_default="none", help="Write a chart to this SVG file.")]
Assume = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        show_default="docs/reference/assumptions.md lists them",
        help="Change an assumption, for example page_seconds=5-10; repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

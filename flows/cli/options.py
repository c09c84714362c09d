"""Options that several commands share: each names its unit, and its default as the code has it."""

from __future__ import annotations

from typing import Annotated

import typer

from tasks.core.jobs import BackendName, Fallback
from tasks.settings.reading import ReadSettings

_READ = ReadSettings()
_A_BACKENDS = "HEARTH_{0}, or the backend's"

Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR|S3",
        show_default="HEARTH_OUTPUT, or results",
        help="Directory of the results, or s3://bucket/prefix.",
    ),
]
Backend = Annotated[
    BackendName | None,
    typer.Option(
        metavar="NAME",
        show_default="HEARTH_BACKEND, or auto",
        help=f"Where the model runs: {', '.join(BackendName)}.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        show_default=_A_BACKENDS.format("MODEL"),
        help="Ollama's name of the model, such as qwen2.5vl:7b.",
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        metavar="PROMPT",
        show_default="HEARTH_READ__PROMPT, or plain transcription",
        help="What the model is told about each page image.",
    ),
]
Slots = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        metavar="PAGES",
        show_default=_A_BACKENDS.format("SLOTS"),
        help="Most pages in flight at once.",
    ),
]
Attempts = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=20,
        metavar="TIMES",
        show_default=f"HEARTH_READ__ATTEMPTS, or {_READ.attempts}",
        help="Most attempts at a page.",
    ),
]
LongestSide = Annotated[
    int | None,
    typer.Option(
        min=64,
        max=8192,
        metavar="PIXELS",
        show_default=f"HEARTH_READ__LONGEST_SIDE, or {_READ.longest_side}",
        help="Longest side of the page images.",
    ),
]
NumCtx = Annotated[
    int | None,
    typer.Option(
        min=256,
        metavar="TOKENS",
        show_default=f"HEARTH_READ__NUM_CTX, or {_READ.num_ctx}",
        help="Context of the model.",
    ),
]
NumPredict = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="TOKENS",
        show_default=f"HEARTH_READ__NUM_PREDICT, or {_READ.num_predict}",
        help="Most tokens that a page may take.",
    ),
]
MaxUsd = Annotated[
    float | None,
    typer.Option(metavar="USD", show_default="no limit", help="Begin no page when the machines have cost so much."),
]
Force = Annotated[bool, typer.Option("--force", help="Read again what has been read before.")]
Strict = Annotated[bool, typer.Option("--strict", help="Count a flagged page as failed.")]
OfFailed = Annotated[
    Fallback,
    typer.Option(
        metavar="NAME", help="What document.md has of a failed page: none, or partial: its last text, flagged."
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show Prefect's log.")]
Pool = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        show_default="HEARTH_EC2__POOL, if EC2 is in the settings",
        help="Pool of EC2 machines.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]

"""Settings of reading: how a page is asked for, what is refused, and how long a server is waited for."""

from __future__ import annotations

from pydantic import Field

from tasks.core.jobs import Frozen

DEFAULT_PROMPT = (
    "Transcribe all text of this page image in natural reading order, as Markdown. "
    "Write tables as Markdown tables and formulas as LaTeX. "
    "Write nothing that is not on the page: no remarks, no description of pictures."
)


class ReadSettings(Frozen):
    """How a page is read."""

    prompt: str = Field(DEFAULT_PROMPT, min_length=1, description="What the model is told about each page image.")
    longest_side: int = Field(
        1288,
        ge=64,
        le=8192,
        description="Longest side of the page images, pixels. 1288 is what olmOCR uses (arXiv:2502.18443).",
    )
    num_ctx: int = Field(8192, ge=256, description="Context of the model, tokens; its memory is this times the slots.")
    num_predict: int = Field(4096, ge=1, description="Most tokens that one page may take.")
    attempts: int = Field(4, ge=1, le=20, description="Attempts at a page, the first at temperature 0.")
    timeout_seconds: float = Field(300, gt=0, description="Longest wait for one answer, seconds.")
    timeout_least_seconds: float = Field(
        30,
        gt=0,
        description="Shortest such wait, seconds. Between the two it is twice what the longest answer "
        "(`num_predict` tokens) would take, as measured on the pages before.",
    )
    retry_seconds: float = Field(
        60, ge=0, description="How long a request meets passing errors before the run stops, seconds."
    )


class LimitSettings(Frozen):
    """What is refused before it hurts."""

    file_mb: int = Field(1024, ge=1, description="Largest PDF, megabytes.")
    pages: int = Field(20_000, ge=1, description="Most pages of a PDF.")
    image_megapixels: int = Field(
        250, ge=1, description="Largest single picture on a page, megapixels; a page over it fails, the others go on."
    )
    open_seconds: float = Field(
        6,
        gt=0,
        description="Longest processor time to open a PDF, seconds; a fifth of a second more a megabyte, up to "
        "`render_seconds`.",
    )
    render_seconds: float = Field(
        60, gt=0, description="Longest processor time to render one page, seconds; it is waited for five times as long."
    )
    render_memory_mb: int = Field(4096, ge=256, description="Memory of the rendering process, megabytes (Linux).")


class WarmSettings(Frozen):
    """How long to wait for a server and its model."""

    deadline_seconds: float = Field(
        900, gt=0, description="From asking for the server to its first page, a download not counted, seconds."
    )
    answer_seconds: float = Field(
        30,
        gt=0,
        description="How long a server that was started or found may take to answer, seconds.",
    )
    model_digest: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{12,64}$",
        description="Digest of the model, or at least its first 12 digits; a server that has another reads nothing.",
    )
    pull_seconds: float = Field(3600, gt=0, description="Longest download of the model, seconds.")
    load_seconds: float = Field(600, gt=0, description="Longest load of the model, seconds.")

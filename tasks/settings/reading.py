"""Settings of reading: the requests for a page, limits of documents, and timeouts of servers."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tasks.core.calls import CleanUp, Endpoint, Sampling, Stops, Temperatures
from tasks.core.jobs import Frozen

DEFAULT_PROMPT = (
    "Transcribe all text of this page image in natural reading order, as Markdown. "
    "Write tables as Markdown tables and formulas as LaTeX. "
    "Write nothing that is not on the page: no remarks, no description of pictures."
)


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{12,64}$")]
"""The first 12 or more hexadecimal digits of a model's digest."""


OVERRIDES = ("endpoint", "think", "system", "stop", "sampling", "temperatures", "clean_up")
"""Settings of reading that stand in place of a profile's."""
_FIRST_TOKEN_SECONDS = 300.0


class ReadSettings(Frozen):
    """The requests for a page."""

    prompt: str = Field(DEFAULT_PROMPT, min_length=1, description="Prompt that is sent with each page image.")
    longest_side: int = Field(
        1288, ge=64, le=8192, description="Longest side of the page images, pixels; as in olmOCR (arXiv:2502.18443)."
    )
    num_ctx: int = Field(8192, ge=256, description="Context length of each slot, tokens; it costs memory.")
    num_predict: int = Field(4096, ge=1, description="Maximum length of a page's text, tokens.")
    profile: str | None = Field(None, description="Name of the profile of every model, instead of the model's own.")
    endpoint: Endpoint | None = Field(None, description="Ollama's call that carries a page: generate, or chat.")
    think: bool | None = Field(None, description="Whether the model thinks before it answers.")
    system: str | None = Field(None, description="System message.")
    stop: Stops | None = Field(None, description='Texts at which an answer ends, as JSON, such as ["</page>"].')
    sampling: Sampling | None = Field(
        None, description='How tokens are chosen, as JSON, such as {"top_p": 0.9}, over the profile\'s.'
    )
    temperatures: Temperatures | None = Field(
        None, description="Temperature of the first attempt, the second, and so on, as JSON, such as [0.1, 0.5]."
    )
    clean_up: tuple[CleanUp, ...] | None = Field(
        None, description='Steps from the answer to Markdown, as JSON, such as ["tables", "math"].'
    )
    profiles_directory: Path | None = Field(
        None, description="Directory of your own profiles of models, *.toml; see `hearth models`."
    )
    doubtful_below: float = Field(
        0.8, ge=0, le=1, description="Confidence below which a page is listed as doubtful, 0 to 1."
    )
    attempts: int = Field(4, ge=1, le=20, description="Maximum attempts per page.")
    timeout_seconds: float = Field(
        1800, gt=0, description="Maximum time for one response, from the request to its last token, seconds."
    )
    first_token_seconds: float | None = Field(
        None,
        gt=0,
        description="Maximum time until a response begins (queue, image and prompt), seconds. If unset: "
        "`timeout_seconds` if that is set, else 300.",
    )
    timeout_least_seconds: float = Field(
        30,
        gt=0,
        description="Minimum of `first_token_seconds`, seconds. Between the two, it is twice the time that the longest "
        "response (`num_predict` tokens) would take at the speed of the pages before.",
    )
    silence_seconds: float = Field(
        120,
        gt=0,
        description="Maximum time between two tokens of a response, seconds. Comments that only keep the connection "
        "open do not count.",
    )
    retry_seconds: float = Field(
        60, ge=0, description="Time for which transient errors of a request are retried, seconds."
    )

    @property
    def first_seconds(self) -> float:
        """Maximum time until a response begins, seconds.

        Before `first_token_seconds` existed, `timeout_seconds` was the only limit: where it is set, it stays in force.
        """
        if self.first_token_seconds is not None:
            return self.first_token_seconds
        return self.timeout_seconds if "timeout_seconds" in self.model_fields_set else _FIRST_TOKEN_SECONDS


class LimitSettings(Frozen):
    """Limits of the documents that are accepted."""

    file_mb: int = Field(1024, ge=1, description="Maximum size of a document, megabytes.")
    pages: int = Field(20_000, ge=1, description="Maximum pages of a document.")
    image_megapixels: int = Field(
        250, ge=1, description="Maximum size of an image on a page, megapixels; a page that exceeds it fails."
    )
    open_seconds: float = Field(
        6,
        gt=0,
        description="Maximum processor time to open a document, seconds, plus 0.2 per MB up to `render_seconds`.",
    )
    render_seconds: float = Field(
        60, gt=0, description="Maximum processor time to render a page, seconds; 5 times as long by the clock."
    )
    render_memory_mb: int = Field(4096, ge=256, description="Memory limit of the rendering process, MB (Linux).")


class WarmSettings(Frozen):
    """Timeouts for a server and its model."""

    deadline_seconds: float = Field(
        900, gt=0, description="Maximum time until a server reads its first page, without downloads, seconds."
    )
    answer_seconds: float = Field(30, gt=0, description="Maximum time until a server answers, seconds.")
    model_digest: Digest | None = Field(
        None, description="Digest of the model, or its first 12 digits or more. A server with another is not used."
    )
    pull_seconds: float = Field(3600, gt=0, description="Maximum time to download the model, seconds.")
    load_seconds: float = Field(600, gt=0, description="Maximum time to load the model, seconds.")

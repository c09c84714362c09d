"""What is sent for each page: the model's profile, with what a person or the settings ask for in its place."""

from dataclasses import dataclass
from typing import Any

from tasks.core.calls import Endpoint
from tasks.core.errors import InputError
from tasks.core.jobs import ReadOptions
from tasks.inference.schema import GenerateRequest
from tasks.models.profile import Profile
from tasks.models.prompts import general_prompt, schema_prompt


@dataclass(frozen=True)
class ModelCall:
    """The requests of a run, but for the page's image.

    Attributes:
        model: the server's name for it.
        profile: what the model asks for.
        prompt: goes with each image; empty for the image alone.
        longest_side: of the images, pixels.
        num_ctx: context, tokens.
        num_predict: most tokens of an answer.
        schema: JSON Schema, as text, that the answers follow; empty for Markdown.
    """

    model: str
    profile: Profile
    prompt: str
    longest_side: int
    num_ctx: int
    num_predict: int
    schema: str = ""

    def request(self, idle_seconds: float) -> GenerateRequest:
        """Return the options of every request, the warm-up's included.

        Args:
            idle_seconds: for which the model stays loaded afterwards.
        """
        profile = self.profile
        return GenerateRequest(
            self.model,
            self.num_ctx,
            self.num_predict,
            idle_seconds,
            think=profile.think,
            chat=profile.endpoint is Endpoint.CHAT,
            system=profile.system or "",
            # A stop text belongs to the answers that the model was trained on, and may occur in data.
            stop=() if self.schema else profile.stop,
            sampling=tuple(profile.sampling.options().items()),
            schema=self.schema,
            logprobs=True,
        )


def plan_call(
    model: str, profile: Profile, options: ReadOptions, requested: dict[str, Any], schema: str = ""
) -> ModelCall:
    """Decide what is sent for each page.

    Args:
        model: the server's name for it.
        profile: what the model asks for.
        options: with a default for everything.
        requested: the options that a person or the settings name; they win over the profile.
        schema: JSON Schema, as text, that the answers follow; empty for Markdown.

    Raises:
        InputError: they leave no room for the page, or the model cannot follow a schema.
    """

    def chosen(name: str) -> Any:  # noqa: ANN401 - an option's value
        own = getattr(profile, name)
        return requested.get(name) or (getattr(options, name) if own is None else own)

    num_ctx, num_predict = chosen("num_ctx"), chosen("num_predict")
    if num_predict >= num_ctx:
        if "num_predict" in requested or profile.num_predict is None:
            raise InputError(
                f"num_predict ({num_predict}) leaves no room for the page in num_ctx ({num_ctx}). "
                "Lower the one or raise the other."
            )
        num_predict = num_ctx // 2
    prompt = requested.get("prompt")
    if schema:
        if profile.schema_refused:
            raise InputError(
                f"The model {model} cannot answer by a JSON Schema: {profile.schema_refused} Choose one that follows "
                "instructions with --model, such as qwen2.5vl:7b, or omit the schema."
            )
        prompt = schema_prompt(schema, prompt or "")
    elif prompt is None:
        prompt = profile.prompt if profile.prompt is not None else general_prompt(options.headers, options.pictures)
    return ModelCall(model, profile, prompt, chosen("longest_side"), num_ctx, num_predict, schema)

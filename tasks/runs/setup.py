"""Choose how documents are read, by the request and the settings: backend, model, profile, and what is sent."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tasks.backends.base import Backend
from tasks.core.errors import InputError, ModelError
from tasks.core.events import RunWarning, emit
from tasks.core.jobs import ReadOptions
from tasks.core.json_schema import schema_digest
from tasks.core.options import Headers, Options, Pictures, TextLayer
from tasks.inference.api import Api
from tasks.inference.names import canonical_name
from tasks.models.call import ModelCall, plan_call
from tasks.models.catalog import GENERAL, find_profile, named_profile, profile_by_server
from tasks.models.profile import Profile
from tasks.runs.choose_backend import Choice, choose_backend
from tasks.settings.reading import OVERRIDES, ReadSettings
from tasks.settings.settings import Settings

_CALL_OPTIONS = ("prompt", "longest_side", "num_ctx", "num_predict")
_OF_AN_ATTEMPT = {"temperatures"}
"""Settings that replace a part of the profile, and do not decide which stored pages are found again."""


@dataclass(frozen=True)
class Setup:
    """The way to read documents, the same for all documents of a batch.

    Attributes:
        options: that decide which stored pages are found again.
        call: what is sent for each page, by the model's name; see `call_on`.
        require_gpu: whether a model that is not wholly in GPU memory is an error.
        named: the options that a person or the settings name.
        read: the settings.
    """

    choice: Choice
    model: str
    options: ReadOptions
    call: ModelCall
    slots: int
    require_gpu: bool
    named: Mapping[str, Any]
    read: ReadSettings

    def call_on(self, family: str, weights: str) -> ModelCall:
        """Return what is sent to a server that names the model's family and weights.

        They choose the profile where neither a person nor the model's name does. The images keep their size, because
        they are rendered before the server is known; and pages that stand are found by other facts.

        Raises:
            ModelError: such a model cannot be used.
        """
        if self.options.profile or self.call.profile.name != GENERAL:
            return self.call
        profile = profile_by_server(family, weights, self.read.profiles_directory)
        if profile.name == GENERAL:
            return self.call
        if profile.refused and family:
            raise ModelError(f"The model {self.model}, whose family is {family}, cannot be used: {profile.refused}")
        schema = self.call.schema
        if schema and profile.schema_refused:
            raise ModelError(f"The model {self.model} cannot answer by a JSON Schema: {profile.schema_refused}")
        call = plan_call(self.model, _overridden(profile, self.read), self.options, dict(self.named), schema)
        return replace(call, longest_side=self.call.longest_side)


def choose_setup(requested: Options, settings: Settings) -> Setup:
    """Choose how to read, by a job or a batch, and by the settings for what it leaves empty.

    Raises:
        InputError: the options contradict each other, or the backend lacks a setting.
    """
    # A backend that serves several models has to know which one is meant.
    named = settings.model_copy(update={"model": requested.model or settings.model})
    choice = choose_backend(requested.backend or settings.backend, named)
    model = _model(requested, named, choice.backend)
    read = settings.read
    named_options = {name: getattr(read, name) for name in _CALL_OPTIONS if name in read.model_fields_set}
    named_options |= {name: value for name in _CALL_OPTIONS if (value := getattr(requested, name))}
    defaults = {name: getattr(read, name) for name in _CALL_OPTIONS}
    schema = requested.json_schema or ""
    chosen = requested.profile or read.profile
    overrides = read.model_dump(mode="json", include=set(_overrides(read)) - _OF_AN_ATTEMPT, exclude_none=True)
    options = ReadOptions(
        **{**defaults, **named_options},
        headers=requested.headers,
        pictures=requested.pictures,
        turn=requested.turn,
        straighten=requested.straighten,
        profile=chosen,
        overrides=overrides,
        schema_sha256=schema_digest(schema) if schema else "",
    )
    directory = read.profiles_directory
    profile = named_profile(chosen, directory) if chosen else find_profile(model, directory)
    if profile.refused and settings.url_api is not Api.OPENAI:
        raise InputError(f"The model {model} cannot be used: {profile.refused}")
    _check_text_layer(requested, named_options)
    if schema and profile.schema_warning:
        emit(RunWarning(profile.schema_warning))
    call = plan_call(model, _overridden(profile, read), options, named_options, schema)
    slots = requested.slots or settings.slots or choice.backend.default_slots
    return Setup(choice, model, options, call, slots, requested.require_gpu, named_options, read)


def _model(requested: Options, settings: Settings, backend: Backend) -> str:
    """Return the model: that of the request, by its name or its languages, else that of the settings."""
    if requested.languages:
        model = backend.model_for(requested.languages)
        if requested.model and canonical_name(requested.model) != canonical_name(model):
            raise InputError(
                f"--model {requested.model} and --languages {requested.languages} both choose the model. Leave one of "
                "the two out."
            )
        return model
    if not settings.model and settings.languages and backend.takes_languages:
        return backend.model_for(settings.languages)
    return settings.model or backend.default_model


def _overrides(read: ReadSettings) -> dict[str, Any]:
    return {name: value for name in OVERRIDES if (value := getattr(read, name)) is not None}


def _overridden(profile: Profile, read: ReadSettings) -> Profile:
    return profile.replaced(_overrides(read))


def _check_text_layer(requested: Options, named_options: dict[str, Any]) -> None:
    """Refuse what a page's own text cannot follow: another prompt would be answered for some pages only."""
    if requested.text_layer is TextLayer.NEVER:
        return
    asked = {
        "--prompt (HEARTH_READ__PROMPT)": "prompt" in named_options,
        "--schema (json_schema)": requested.json_schema is not None,
        "--headers drop": requested.headers is not Headers.KEEP,
        "--pictures placeholder": requested.pictures is not Pictures.OMIT,
    }
    for option in (option for option, is_asked in asked.items() if is_asked):
        raise InputError(
            f"--text-layer {requested.text_layer} takes the text of pages as it is, and cannot follow {option}. Leave "
            "one of the two out."
        )

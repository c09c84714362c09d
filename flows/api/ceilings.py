"""Allow-lists and limits with which the backend's owner restricts what clients may request and spend."""

from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cached_property

from flows.api.settings import ApiSettings
from tasks.backends.registry import BACKENDS
from tasks.core.errors import InputError, LimitError
from tasks.core.jobs import BackendName, Job
from tasks.inference.names import canonical_name
from tasks.settings.settings import Settings


class Ceilings:
    """The allow-lists and limits. A request may always use the values of the worker's own settings."""

    def __init__(self, settings: Settings, api: ApiSettings) -> None:
        self._settings = settings
        self._api = api
        self._backends = (settings.backend, *api.backends)

    def check(self, job: Job) -> None:
        """Raise InputError if an option of a request is too large, or not allowed."""
        if job.backend is not None and job.backend not in self._backends:
            raise _not_allowed("backend", job.backend.value, "API_BACKENDS")
        if job.model is not None and not self._allows(job.model):
            raise _not_allowed("model", job.model, "API_MODELS")
        read, api = self._settings.read, self._api
        for name, most, own in (
            ("num_ctx", api.max_num_ctx, read.num_ctx),
            ("num_predict", api.max_num_predict, read.num_predict),
            ("attempts", api.max_attempts, read.attempts),
            ("slots", api.max_slots, self._settings.slots or 1),
            ("max_usd", api.max_usd, 0),
        ):
            value, limit = getattr(job, name), max(most, own)
            if value is not None and not value <= limit:
                setting = f"API_MAX_{name.removeprefix('max_')}".upper()
                raise InputError(
                    f"{name}={value:g} is more than the limit of {limit:g} ({setting}). Use a smaller value."
                )
        longest = max(api.max_prompt, len(read.prompt))
        for name in ("prompt", "json_schema"):  # the schema is a part of the prompt
            text = getattr(job, name) or ""
            if len(text) > longest:
                raise InputError(
                    f"The {name} has {len(text)} characters; the limit is {longest} (API_MAX_PROMPT). Shorten it."
                )

    def check_pages(self, pages: int) -> None:
        """Raise LimitError if a request is for too many pages."""
        if pages > self._api.max_pages:
            raise LimitError(
                f"The request is for {pages} pages; the limit is {self._api.max_pages} (API_MAX_PAGES). "
                "Select fewer with `pages`."
            )

    def with_budget(self, job: Job) -> Job:
        """Return the job with a budget, which does not count when requests are compared."""
        return job if job.max_usd is not None else job.model_copy(update={"max_usd": self._api.max_usd})

    def _allows(self, model: str) -> bool:
        name = canonical_name(model)
        patterns = ("*" if pattern == "*" else canonical_name(pattern) for pattern in self._api.models)
        return name in self._own or any(fnmatchcase(name, pattern) for pattern in patterns)

    @cached_property
    def _own(self) -> frozenset[str]:
        """The models that are used when a request names none."""
        if self._settings.model:
            return frozenset({canonical_name(self._settings.model)})
        models: set[str] = set()
        for name in set(self._backends) - {BackendName.AUTO}:
            with suppress(InputError):  # the backend lacks a setting, which a request for it reports
                models.add(canonical_name(BACKENDS[name].open(self._settings).default_model))
        return frozenset(models)


def _not_allowed(name: str, value: str, setting: str) -> InputError:
    shown = value if len(value) <= 100 else f"{value[:100]}..."
    return InputError(f"The {name} {shown!r} is not allowed here. Leave {name} out, or add the value to {setting}.")

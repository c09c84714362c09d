"""Get a model warm: its server reachable, the model present, and loaded with the pages' options."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tasks.core.errors import ModelError, NotOfferedError, PageError, SchemaRefusedError
from tasks.core.events import Progress, Pulling, RunWarning, WarmStep, emit, measure_step
from tasks.inference.client import InferenceClient
from tasks.inference.names import find_model
from tasks.inference.schema import GenerateRequest, LoadedModel, Model, ModelDetails, PullProgress
from tasks.serving.capabilities import Capabilities
from tasks.serving.parallelism import first_number
from tasks.serving.remedies import load_failure, pull_failure, shortfall
from tasks.serving.waiting import Deadline, Wait
from tasks.settings.reading import WarmSettings
from tasks.slots.ledger import Ledger, Measured, beginning
from tasks.slots.store import LedgerStore

_MOST_LAYERS = 1_000
"""Most layers whose download is followed; a model has about ten."""


@dataclass(frozen=True)
class Warmth:
    """A model that is loaded.

    Attributes:
        digest: the model's digest, 64 hex digits.
        measured: how many requests the server works on at once, as far as that is known.
        seen: the most pages of the run that it was seen working on at once.
        requested: parallel requests that the run wanted to send.
        started_for: those that Hearth started the server for, if it did.
        remarks: where and how the model runs, if there is something to report.
        thinks: whether the model can think, which requests then forbid.
        gpu_bytes: GPU memory of the model with all the server's slots; 0 if it uses none.
        weights: name of the model's weights, where the server tells it.
    """

    digest: str
    family: str
    measured: Measured
    requested: int = 0
    started_for: int | None = None
    remarks: tuple[str, ...] = ()
    thinks: bool = False
    gpu_bytes: int = 0
    weights: str = ""
    seen: int = 0

    @property
    def slots_seen(self) -> int | None:
        """The slots that pages have shown while the number is not proven; None if it is."""
        return None if self.measured.proven else self.seen

    @property
    def shortfall(self) -> str | None:
        """Why the server works on fewer requests than were wanted; None if it does not."""
        return shortfall(self.requested, self.measured, self.family, self.started_for)

    def shown(self, measured: Measured, seen: int, replicas: int) -> Warmth:
        """Return it with what pages have shown of the server's slots, as far as the run requested so many."""
        slots = min(measured.slots, self.requested)  # a run that requests more may have raised it
        proven = measured.seen or slots * replicas <= seen
        if (slots, proven, seen) == (self.measured.slots, self.measured.seen, self.seen):
            return self
        return replace(self, measured=measured.model_copy(update={"slots": slots, "seen": proven}), seen=seen)

    @property
    def note(self) -> str | None:
        """All that a person should know of it; None if there is nothing to report."""
        return " ".join(filter(None, (self.shortfall, *self.remarks))) or None


Adapt = Callable[[ModelDetails], GenerateRequest]
"""Returns the options of the pages for a model, by what its server says of it."""


async def warm(
    client: InferenceClient,
    request: GenerateRequest,
    slots: int,
    limits: WarmSettings,
    *,
    ledger: LedgerStore,
    require_gpu: bool,
    started_for: int | None = None,
    adapt: Adapt | None = None,
) -> Warmth:
    """Wait until the pages can start: the model is loaded with exactly the options of their requests.

    The client's timeout must exceed the load of the model. So many slots are requested of the server, or of each of its
    replicas; the ledger has what the pages of other runs showed. Hearth started the server for `started_for` requests,
    if it did. `adapt` returns other options of the pages, by what the server says of the model; `request` stands if
    None.

    Raises:
        ServerError: the server did not answer, or kept failing, until the deadline.
        ModelError: the model cannot be pulled or loaded, or does not fit; with `require_gpu`, not wholly in GPU memory.
    """
    deadline = Deadline.after(limits.deadline_seconds, "deadline_seconds")
    emit(Progress(f"waiting for {client.url}"))
    answer = Deadline.after(limits.answer_seconds, "answer_seconds")
    with measure_step(WarmStep.ANSWER):
        version = await Wait(min(deadline, answer, key=lambda each: each.at)).until(client.version)
    started = time.monotonic()
    model = await _present(client, request.model, version, deadline, limits)
    deadline = deadline.later(time.monotonic() - started)
    if not model.digest.startswith(limits.model_digest or ""):
        raise ModelError(
            f"{client.url} has another {request.model} than HEARTH_WARM__MODEL_DIGEST names: {model.digest[:12]} "
            f"instead of {(limits.model_digest or '')[:12]}. Nothing was read with it. Pull the right one there, or "
            "correct the setting."
        )
    details = await Wait(deadline, final=ModelError).until(lambda: client.details(request.model))
    capabilities = Capabilities.of(request.model, model, details)
    capabilities.require_vision()
    request = request if adapt is None else adapt(details)
    thinks = capabilities.thinks if request.think is None else not request.think
    request = replace(request, thinks=thinks)
    if request.schema:
        capabilities.require_schemas()
    try:
        emit(Progress(f"loading {request.model}"))
        with measure_step(WarmStep.LOAD):
            await Wait(deadline, final=ModelError).until(lambda: client.load(request))
        loaded = find_model(request.model, await Wait(deadline, final=ModelError).until(client.loaded))
        if request.schema:
            await Wait(deadline).until(lambda: _accepts_schema(client, request))
        placed = _placement(request.model, loaded, require_gpu=require_gpu)
        what = f"{model.digest[:12]}, num_ctx {request.num_ctx}"
        first = await Wait(deadline, final=ModelError).until(
            lambda: first_number(client, what, slots, details.family, started_for)
        )
    except SchemaRefusedError:
        raise
    except ModelError as error:
        raise ModelError(load_failure(request.model, details.family, str(error))) from None
    remarks = tuple(filter(None, (placed, *capabilities.notes(loaded, request.num_ctx))))
    warmth = Warmth(
        digest=model.digest,
        family=details.family,
        measured=await _known(ledger, first),
        requested=slots,
        started_for=started_for,
        remarks=remarks,
        thinks=thinks,
        gpu_bytes=loaded.size_vram if loaded else 0,
        weights=details.weights,
    )
    for warning in filter(None, (*remarks, warmth.shortfall)):
        emit(RunWarning(warning))
    return warmth


async def _known(store: LedgerStore, first: Measured) -> Measured:
    """Return what the runs of a server know of its capacity; enter the number to begin with if they know too little."""

    def entered(ledger: Ledger) -> Ledger:
        now = store.now()
        return beginning(ledger.live(now), first.model_copy(update={"at": now, "server": store.server}))

    return (await store.change(entered)).measured[first.what]


async def _accepts_schema(client: InferenceClient, request: GenerateRequest) -> None:
    """Have the server accept the request's schema before there are pages.

    Raises:
        SchemaRefusedError: it refuses the schema, as servers do that do not know one of its keywords.
    """
    try:
        await client.generate(replace(request, num_predict=1), "Answer.")
    except PageError as error:
        raise SchemaRefusedError(
            f"{client.url} does not accept the JSON Schema. {error} Use fewer of JSON Schema's keywords."
        ) from None


async def _present(client: InferenceClient, name: str, version: str, deadline: Deadline, limits: WarmSettings) -> Model:
    """Return the model on the server's disk; pull it if it is missing."""

    def failure(words: str) -> ModelError:
        return ModelError(pull_failure(client.url, name, words, version))

    wait = Wait(deadline, longest=Deadline.after(limits.pull_seconds, "pull_seconds"), final=failure)
    download = _Download()

    async def present() -> Model:
        model = find_model(name, await client.models())
        if model is not None:
            return model
        if client.downloads:
            emit(Progress(f"pulling {name}"))
        try:
            with measure_step(WarmStep.PULL):
                async for step in client.pull(name):
                    download.note(step)
                    emit(Pulling(step.status, step.completed, step.total))
        except NotOfferedError:
            raise
        except ModelError as error:
            raise failure(str(error)) from None
        finally:
            if download.progressed():
                wait.forget()
        model = find_model(name, await client.models())
        if model is None:
            raise ModelError(f"{client.url} says that it pulled {name!r}, but does not list it. Pull it there by hand.")
        return model

    return await wait.until(present)


class _Download:
    """How far a model's download is, over all tries: errors are passing as long as it makes progress."""

    def __init__(self) -> None:
        self._layers: dict[str, int] = {}
        self._before = 0

    def note(self, step: PullProgress) -> None:
        """Take note of a step."""
        if step.digest in self._layers or len(self._layers) < _MOST_LAYERS:
            self._layers[step.digest] = max(step.completed, self._layers.get(step.digest, 0))

    def progressed(self) -> bool:
        """Return whether it has made progress since the last call."""
        before, self._before = self._before, sum(self._layers.values())
        return self._before > before


def _placement(name: str, model: LoadedModel | None, *, require_gpu: bool) -> str | None:
    """Return a warning if the model runs partly on the CPU, to which Ollama spills silently (ollama#14258)."""
    if model is None and require_gpu:
        raise ModelError("the server does not show where it runs, so that --require-gpu cannot be met")
    if model is None or model.size_vram >= model.size:
        return None
    where = f"{model.size_vram / 1e9:.1f} of its {model.size / 1e9:.1f} GB are in GPU memory, the rest runs on the CPU"
    if require_gpu:
        raise ModelError(f"{where}. Use a machine with more GPU memory, a smaller --num-ctx, or fewer --slots")
    return None if model.size_vram == 0 else f"{name}: {where}. Pages will be slow."

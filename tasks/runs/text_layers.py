"""The text layers of a run's document: taken before any server is acquired, or counted for its insight."""

from tasks.core.events import Progress, emit
from tasks.core.jobs import TextLayer
from tasks.reading.events import LayersCounted
from tasks.reading.layer_reader import count_taken, take_layers
from tasks.runs.advice import layers_advice
from tasks.runs.prepare import Prepared
from tasks.runs.run_recorder import RunRecorder


async def take_text_layers(prepared: Prepared, recorder: RunRecorder) -> None:
    """Take the pages from their text layer that the job takes from it. The document is locked.

    Raises:
        UnavailableError: the sandboxed process does not start.
        StorageError: a page cannot be stored.
    """
    plan = prepared.plan
    if plan.text_layer is TextLayer.NEVER or prepared.nothing_left():
        return
    emit(Progress("looking at the text that the document has"))
    taken = await take_layers(prepared.layers, plan, prepared.store, prepared.digest)
    prepared.taken.update(taken)
    recorder.done.update(taken)
    emit(Progress(f"{len(taken)} of {len(plan.numbers)} pages are taken from their text layer"))


async def count_text_layers(prepared: Prepared, recorder: RunRecorder) -> None:
    """Say how many of the pages that were read could have been taken from their text layer."""
    numbers = sorted(recorder.done)
    if prepared.plan.text_layer is TextLayer.NEVER and numbers:
        sound = await count_taken(prepared.layers, numbers)
        recorder.advice = layers_advice(sound, len(numbers))
        emit(LayersCounted(sound, len(numbers)))

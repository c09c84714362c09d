"""Explain where a run's time and money went, and which one change would have saved most. Pure."""

from collections.abc import Iterator

from tasks.core.durations import format_duration
from tasks.costs.assumptions import Assumptions
from tasks.reading.layer_reader import MOST_COUNTED
from tasks.results.usage import Figures, Insight, Saving
from tasks.text.slots import slots_text

_SHORT_IDLE = 120.0
"""Idle seconds after which the next of several consecutive runs still finds the machine warm."""
_BUSY = 0.8
_NOTICED = 0.01
"""A smaller part of the run, or a second or less, counts as no saving."""


def insight(figures: Figures) -> Insight:
    """Return where time and money went, and what to change."""
    paid = figures.usd(figures.held + figures.idle)
    worth = [
        saving
        for saving in savings(figures)
        if (saving.usd > _NOTICED * paid if paid else saving.seconds > max(1.0, _NOTICED * figures.seconds))
    ]
    best = max(worth, key=lambda saving: (saving.usd, saving.seconds), default=None)
    return Insight(figures=figures, saving=best, told=" ".join(_sentences(figures, best)))


def layers_advice(sound: int, pages: int) -> str:
    """Return what text layers would have saved; empty if there is none that is sound."""
    if not sound:
        return ""
    about = "About " if pages > MOST_COUNTED else ""
    return f"{about}{sound} of {pages} pages have a sound text layer: --text-layer auto takes them without a model."


def savings(figures: Figures) -> Iterator[Saving]:
    """Yield what each change alone would have saved."""
    f = figures
    start = f.boot + f.load
    yield Saving(
        change="reading together with other documents (hearth batch), or while a machine is still warm",
        seconds=f.waiting + start,
        usd=f.usd(start),
    )
    shorter = f.idle - _SHORT_IDLE * f.machines
    if shorter > 0:
        yield Saving(change=f"an idle time of {format_duration(_SHORT_IDLE)} (HEARTH_IDLE_MINUTES)", usd=f.usd(shorter))
    if f.spot_usd_per_hour is not None and f.spot_usd_per_hour < f.usd_per_hour:
        part = 1 - f.spot_usd_per_hour / f.usd_per_hour
        yield Saving(change="spot machines, at the price book's spot price", usd=part * f.usd(f.held + f.idle))
    if f.more_slots and f.busy >= _BUSY and f.read >= 2 * f.slots:
        slower = Assumptions().slowdown_per_slot
        page = (1 + slower * (2 * f.slots - 1)) / (1 + slower * (f.slots - 1))
        saved = f.reading * (1 - page / 2)
        change = f"{2 * f.slots} slots, if a page then takes {page:.1f} times as long, as `hearth plan` assumes"
        yield Saving(change=change, seconds=saved, usd=f.usd(saved))
    if f.page_seconds and f.image_seconds:
        saved = f.reading * f.image_seconds / f.page_seconds / 2
        side = round(f.longest_side * 0.5**0.5)
        yield Saving(change=f"images of half the pixels (--longest-side {side})", seconds=saved, usd=f.usd(saved))
    if f.page_seconds and f.again_seconds:
        saved = f.reading * f.again_seconds / f.page_seconds
        yield Saving(change="pages that answer well at the first attempt", seconds=saved, usd=f.usd(saved))


def _sentences(figures: Figures, best: Saving | None) -> Iterator[str]:
    f = figures
    told = format_duration if f.seconds >= 10 else _tenths
    parts = [
        *([f"{told(f.waiting)} waiting"] if round(f.waiting) else []),
        *([f"{told(f.boot)} of boot"] if round(f.boot) else []),
        *([f"{told(f.load)} until the model was warm"] if round(f.load) else []),
        f"{told(f.reading)} for {f.read} page{'s' if f.read != 1 else ''}",
    ]
    slots = f"{slots_text(f.slots, f.slots_seen)}{'' if f.slots_seen is None else ','}"
    yield f"It took {told(f.seconds)}: {', '.join(parts)}, {slots} {f.busy:.0%} busy."
    if f.usd_per_hour:
        boot, load = f.usd(f.boot), f.usd(f.load)
        rest = max(0.0, f.usd(f.held) - boot - load)
        yield f"It cost USD {f.usd(f.held):.4f} (boot {boot:.4f}, warm-up {load:.4f}, pages {rest:.4f}),"
        yield f"and up to USD {f.usd(f.idle):.4f} for idling afterwards, if no other run comes."
    if best is None:
        yield "No single change would have saved much."
        return
    both = [*([f"USD {best.usd:.4f}"] if best.usd else []), *([format_duration(best.seconds)] if best.seconds else [])]
    yield f"What would have saved most: {best.change}: {' and '.join(both)}."


def _tenths(seconds: float) -> str:
    """Format the times of a short run so precisely that its parts add up."""
    return f"{seconds:.1f} s"

"""Pages as they are stored when their text is their text layer."""

from __future__ import annotations

from datetime import UTC, datetime

from tasks.core.flags import Flag, FlagName
from tasks.core.jobs import Plan, layer_identity
from tasks.layers.judge import Verdict
from tasks.results.page import LayerRecord, PageResult, PageSource, PageStatus


def layer_page(plan: Plan, number: int, text: str, verdict: Verdict) -> PageResult:
    """Return a page that is taken from its text layer; flagged if that is not sound."""
    doubtful = Flag(name=FlagName.TEXT_LAYER, detail=f"Its text layer may not be all that it shows: {verdict.why}.")
    return PageResult(
        page=number,
        identity=layer_identity(plan.document.sha256, number),
        status=PageStatus.BLANK if verdict.is_blank else PageStatus.READ,
        text=text,
        model="",
        digest="",
        flags=() if verdict.sound else (doubtful,),
        source=PageSource.TEXT_LAYER,
        layer=LayerRecord(score=verdict.score, why=verdict.why),
        finished_at=datetime.now(UTC),
    )


def fallback_page(failed: PageResult, text: str, verdict: Verdict) -> PageResult:
    """Return a page that failed at the model as read from its text layer, flagged."""
    doubt = "" if verdict.sound else f", which may not be all that the page shows: {verdict.why}"
    detail = f"The model failed ({failed.reason}); the text is the page's text layer{doubt}."
    flag = Flag(name=FlagName.TEXT_LAYER_FALLBACK, detail=detail)
    update = {
        "status": PageStatus.READ,
        "text": text,
        "reason": None,
        "detail": None,
        "source": PageSource.TEXT_LAYER_FALLBACK,
        "layer": LayerRecord(score=verdict.score, why=verdict.why),
        "flags": (*(flag for flag in failed.flags if flag.name is not FlagName.PARTIAL), flag),
    }
    return failed.model_copy(update=update)

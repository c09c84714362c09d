"""A post: the document itself, or a form with it, and the options, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import HTTPException, Request

from flows.api.filenames import safe_filename
from flows.api.multipart import FIELDS_BYTES, KIND, FormBody
from flows.api.openapi import PDF
from flows.api.service import Service
from flows.api.uploads import Posted, Upload, posted_from


async def receive(request: Request, service: Service, upload: Upload) -> Posted:
    """Receive a document, and return what is posted for it. What the query asks for is checked before it comes.

    Raises:
        HTTPException: 415, it is sent as something else.
        InputError: an option or the form is wrong.
        LimitError: it is too large.
    """
    form = _form_of(request)
    query = request.query_params.multi_items()
    posted = await _posted(query, service)
    announced = request.headers.get("content-length")
    if form is None:
        await upload.receive(request.stream(), announced)
        return posted
    await upload.receive(form.file(request.stream()), announced, beside=FIELDS_BYTES)
    posted = await _posted([*query, *form.fields], service)
    return posted._replace(filename=posted.filename or safe_filename(form.filename))


def _form_of(request: Request) -> FormBody | None:
    """The form that a document comes in; None if it comes by itself."""
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in {PDF, KIND}:
        raise HTTPException(415, f"The document is sent as the body ({PDF}), or as the field file of a form ({KIND}).")
    return FormBody(content_type) if kind == KIND else None


async def _posted(given: Sequence[tuple[str, str]], service: Service) -> Posted:
    posted = posted_from(given, service.api.password_variables)
    if posted.webhook is not None:
        await service.webhooks.check(posted.webhook)
    return posted

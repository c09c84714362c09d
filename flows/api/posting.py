"""A post: the document itself, or a form with it, and the options, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from fastapi import HTTPException, Request

from flows.api.multipart import FIELDS_BYTES, KIND, FormBody
from flows.api.openapi import PDF
from flows.api.service import Service
from flows.api.uploads import Posted, Upload, posted_from, safe_filename


class Post:
    """A request with a document. First it is checked, then received.

    Args:
        request: the request.
        service: what it is for.
    """

    def __init__(self, request: Request, service: Service) -> None:
        self._request = request
        self._service = service
        self._query = request.query_params.multi_items()

    async def check(self) -> None:
        """Refuse what is wrong before the document comes.

        Raises:
            HTTPException: 415, it is sent as something else.
            InputError: what its query asks for is wrong, or not allowed, or the form is.
        """
        self._form = _form_of(self._request)
        self._posted = await self._asked(self._query)

    async def receive(self, upload: Upload) -> Posted:
        """Receive the document, and return what is posted for it.

        Raises:
            HTTPException: 408, it does not come in time.
            InputError: a field of the form is wrong, or not allowed.
            LimitError: it is too large, or there is no room for it.
        """
        announced = self._request.headers.get("content-length")
        async with aclosing(self._service.limits.body(self._request.stream())) as body:
            if self._form is None:
                await upload.receive(body, announced)
                return self._posted
            await upload.receive(self._form.file(body), announced, beside=FIELDS_BYTES)
        posted = await self._asked([*self._query, *self._form.fields])
        return posted._replace(filename=posted.filename or safe_filename(self._form.filename))

    async def _asked(self, given: Sequence[tuple[str, str]]) -> Posted:
        posted = posted_from(given, self._service.api.password_variables)
        self._service.ceilings.check(posted.job)
        if posted.webhook is not None:
            await self._service.webhooks.check(posted.webhook)
        return posted


def _form_of(request: Request) -> FormBody | None:
    """The form that a document comes in; None if it comes by itself."""
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in {PDF, KIND}:
        raise HTTPException(415, f"The document is sent as the body ({PDF}), or as the field file of a form ({KIND}).")
    return FormBody(content_type) if kind == KIND else None

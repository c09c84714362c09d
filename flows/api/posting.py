"""A POST request: a document or a form that contains one, and options in the query or in the form."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import HTTPException, Request

from flows.api.followed import Followed
from flows.api.multipart import FIELDS_BYTES, KIND, FormBody
from flows.api.openapi import PDF
from flows.api.service import Service
from flows.api.uploads import Posted, Upload, parse_options, safe_filename
from tasks.core.aio import cancel_and_wait


class Post:
    """A request with a document: it is checked before the document is received."""

    def __init__(self, request: Request, service: Service) -> None:
        self._request = request
        self._service = service
        self._query = request.query_params.multi_items()

    async def check(self) -> None:
        """Refuse a wrong request before its document is received.

        Raises:
            HTTPException: 415, its content type is wrong.
            InputError: a parameter is wrong or not allowed, or the form has no boundary.
        """
        self._form = _form_of(self._request)
        self._posted = await self._options(self._query)

    async def receive(self, upload: Upload) -> Posted:
        """Receive the document, and return its options.

        Raises:
            HTTPException: 408, the document does not arrive in time.
            InputError: a field of the form is wrong or not allowed.
            LimitError: the document is too large, or there is no room for it.
        """
        content_length = self._request.headers.get("content-length")
        async with aclosing(self._service.limits.body(self._request.stream())) as body:
            if self._form is None:
                await upload.receive(body, content_length)
                return self._posted
            await upload.receive(self._form.file(body), content_length, other_bytes=FIELDS_BYTES)
        posted = self._posted
        if self._form.fields:
            posted = await self._options([*self._query, *self._form.fields])
        return posted._replace(filename=posted.filename or safe_filename(self._form.filename))

    async def _options(self, fields: Sequence[tuple[str, str]]) -> Posted:
        posted = parse_options(fields, self._service.api.password_variables)
        self._service.ceilings.check(posted.job)
        if posted.webhook is not None:
            await self._service.webhooks.check(posted.webhook)
        return posted


def _form_of(request: Request) -> FormBody | None:
    """Return the form that contains the document; None if the document is the body."""
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in {PDF, KIND}:
        raise HTTPException(415, f"Send the document as the body ({PDF}), or as the field file of a form ({KIND}).")
    return FormBody(content_type) if kind == KIND else None


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, Followed]) -> Followed:
    """Do the work for a request whose body was received; cancel it when the client disconnects."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_client_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(499, "The client left before the response.")
    finally:
        await cancel_and_wait(working, leaving)
    return working.result()


async def _client_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

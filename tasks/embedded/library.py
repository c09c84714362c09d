"""Changes of the store: /api/pull, /api/delete, /api/copy and /api/create; /api/push has no registry to go to."""

from collections.abc import Iterator

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tasks.embedded import fields, wire
from tasks.embedded.catalog import requested_name
from tasks.embedded.errors import BadRequestError, InvalidNameError, UnknownModelError
from tasks.embedded.models import Progress, Store, full_name
from tasks.embedded.replies import finished, streamed, to_json

UNCHANGED = ("files", "adapters", "template", "system", "quantize", "parameters", "messages", "license")
"""Fields of /api/create that change a model, which this server cannot do."""


class Library:
    """Installs, names and removes models."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def pull(self, body: bytes) -> Response:
        """Install a model. With streaming, an error arrives as the last line under status 200."""
        data = wire.parse_body(body, fields.MODEL_FIELDS, "PullRequest")
        name = data.get("model") or data.get("name") or ""
        full_name(name)
        return await _answer(self._pulled(name), stream=data.get("stream", True))

    async def delete(self, body: bytes) -> Response:
        """Remove a model. A loaded one stays in memory until it expires, as with Ollama."""
        name = requested_name(body, fields.MODEL_FIELDS, "DeleteRequest")
        _check_name(name, f'name "{name}" is invalid')
        self._store.delete(name)
        return Response()

    async def copy(self, body: bytes) -> Response:
        """Give a model a second name."""
        data = wire.parse_body(body, fields.COPY_FIELDS, "CopyRequest")
        names = {field: data.get(field, "") for field in ("source", "destination")}
        for field, name in names.items():
            _check_name(name, f'{field} "{name}" is invalid')
        self._store.copy(**names)
        return Response()

    async def create(self, body: bytes) -> Response:
        """Make a model as a copy of another one."""
        data = wire.parse_body(body, fields.CREATE_FIELDS, "CreateRequest")
        name, source = data.get("model") or data.get("name") or "", data.get("from", "")
        full_name(name)
        if changes := [field for field in UNCHANGED if data.get(field)]:
            return finished({"error": f"{changes[0]}: this server makes models by copying, and changes nothing"}, 400)
        if not source:
            return finished({"error": "neither 'from' or 'files' was specified"}, 400)
        try:
            installed = self._store.find(source) is not None
        except InvalidNameError as error:
            return finished({"error": str(error)}, 400)
        return await _answer(self._created(source, name, installed=installed), stream=data.get("stream", True))

    async def push(self, body: bytes) -> Response:
        """Refuse: there is no registry."""
        data = wire.parse_body(body, fields.MODEL_FIELDS, "PushRequest")
        name = data.get("model") or data.get("name") or ""
        if not name:
            raise BadRequestError("model is required")
        path = self._store.manifest_path(full_name(name))
        model = self._store.find(name)
        no_registry = "push model manifest: this server has no registry"
        error_text = no_registry if model else f"open {path}: no such file or directory"
        steps: list[Progress] = [{"status": "retrieving manifest"}, {"error": error_text}]
        return await _answer(iter(steps), stream=data.get("stream", True))

    def _pulled(self, name: str) -> Iterator[Progress]:
        try:
            yield from self._store.pull(name)
        except (UnknownModelError, OSError) as error:
            yield {"error": str(error)}

    def _created(self, source: str, name: str, *, installed: bool) -> Iterator[Progress]:
        """Copy a model, pulling it first if it is missing, as Ollama does."""
        try:
            if not installed:
                yield from (step for step in self._store.pull(source) if step.get("status") != "success")
            yield {"status": "writing manifest"}
            self._store.copy(source, name)
            yield {"status": "success"}
        except (UnknownModelError, OSError) as error:
            yield {"error": str(error)}


async def _answer(steps: Iterator[Progress], *, stream: bool) -> Response:
    """Stream the steps of a change, or return the last one."""
    if stream:
        return streamed((to_json(each) + b"\n" for each in steps), "application/x-ndjson")
    *_, last = await run_in_threadpool(list, steps)
    return finished(last, 500 if "error" in last else 200)


def _check_name(name: str, refusal: str) -> None:
    try:
        full_name(name)
    except InvalidNameError:
        raise InvalidNameError(refusal) from None

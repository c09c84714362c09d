"""/api/embed, /api/embeddings and /v1/embeddings: what an Ollama says whose model has none."""

from starlette.responses import Response

from tasks.embedded import fields, wire
from tasks.embedded.errors import BadRequestError, RequestError, UnknownModelError
from tasks.embedded.models import Store
from tasks.embedded.openai import refused
from tasks.embedded.replies import failure
from tasks.embedded.requests import find_model

UNSUPPORTED = "This server does not support embeddings. Start it with `--embeddings`"


class Embeddings:
    """Refuses each request, for what is wrong with it or for want of embeddings."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def embed(self, body: bytes) -> Response:
        """Answer /api/embed."""
        return failure(*self._refusal(body))

    async def openai(self, body: bytes) -> Response:
        """Answer /v1/embeddings."""
        return refused(*self._refusal(body))

    async def embeddings(self, body: bytes) -> Response:
        """Answer /api/embeddings, the older one."""
        try:
            self._check(wire.parse_body(body, fields.EMBEDDINGS_FIELDS, "EmbeddingRequest"))
        except RequestError as error:
            return failure(error.status, str(error))
        return failure(500, UNSUPPORTED)

    def _refusal(self, body: bytes) -> tuple[int, str]:
        try:
            self._check(wire.parse_body(body, fields.EMBED_FIELDS, "EmbedRequest"))
        except RequestError as error:
            return error.status, str(error)
        return 501, UNSUPPORTED

    def _check(self, data: dict[str, object]) -> None:
        name = str(data.get("model", ""))
        if not name:
            raise BadRequestError("model is required")
        if find_model(name, self._store) is None:
            raise UnknownModelError(f'model "{name}" not found, try pulling it first')

"""/api/embed, /api/embeddings and /v1/embeddings: Ollama's answers for a model without embeddings."""

from collections.abc import Mapping

from starlette.responses import Response

from tasks.embedded import fields, wire
from tasks.embedded.errors import BadRequestError, RequestError, UnknownModelError
from tasks.embedded.models import Store
from tasks.embedded.openai import refused
from tasks.embedded.replies import failure
from tasks.embedded.requests import find_model

UNSUPPORTED = "This server does not support embeddings. Start it with `--embeddings`"


class Embeddings:
    """Refuses each request, because it is wrong or because there are no embeddings."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def embed(self, body: bytes) -> Response:
        """Answer /api/embed."""
        self._check(body, fields.EMBED_FIELDS, "EmbedRequest")
        return failure(501, UNSUPPORTED)

    async def embeddings(self, body: bytes) -> Response:
        """Answer the older /api/embeddings."""
        self._check(body, fields.EMBEDDINGS_FIELDS, "EmbeddingRequest")
        return failure(500, UNSUPPORTED)

    async def openai(self, body: bytes) -> Response:
        """Answer /v1/embeddings."""
        try:
            self._check(body, fields.EMBED_FIELDS, "EmbedRequest")
        except RequestError as error:
            return refused(error.status, str(error))
        return refused(501, UNSUPPORTED)

    def _check(self, body: bytes, kinds: Mapping[str, str], struct: str) -> None:
        name = str(wire.parse_body(body, kinds, struct).get("model", ""))
        if not name:
            raise BadRequestError("model is required")
        if find_model(name, self._store) is None:
            raise UnknownModelError(f'model "{name}" not found, try pulling it first')

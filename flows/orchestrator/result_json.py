"""Store a flow's result as JSON that any process can read, whether Hearth is installed there or not.

Without Hearth, `state.result()` is a plain dictionary. An error is always Prefect's own class, with Hearth's sentence.
"""

from typing import Any

from prefect.serializers import JSONSerializer, prefect_json_object_encoder


def encoded(value: object) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return a result, or the error in its place, as a value that JSON can represent."""
    if isinstance(value, Exception):
        return {"__exc_type__": "prefect.exceptions.FailedRun", "message": str(value)}
    return prefect_json_object_encoder(value)


RESULT_JSON: JSONSerializer[Any] = JSONSerializer(object_encoder=f"{encoded.__module__}.{encoded.__name__}")
"""The serializer of the flows that return something."""

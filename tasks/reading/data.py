"""Validation of answers that follow a JSON Schema: parsed, checked, and accepted as a page's data."""

import json
import re
from typing import Any

from tasks.core.errors import FailureReason, PageError
from tasks.core.json_schema import checker_of
from tasks.core.schema_check import TooComplexError
from tasks.core.strict_json import depth_of, parse_json
from tasks.inference.schema import Answer, GenerateRequest
from tasks.reading.clean import Cleaned, clean, is_refusal
from tasks.reading.validate import check_complete

_DEEPEST = 100
"""Objects and lists within each other, in an answer."""
_FENCED = re.compile(r"^[ \t]*```[\w+-]*[ \t]*\n(.*?)\n[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)


class DataReader:
    """Reads the data in the answers of one run.

    Args:
        schema: of the answers, as text.
    """

    def __init__(self, schema: str) -> None:
        self._checker = checker_of(schema)

    def read(self, answer: Answer, request: GenerateRequest) -> tuple[Any, Cleaned]:
        """Return a page's data, and its text: the data as JSON in a fence.

        Args:
            answer: the model's.
            request: the options of the request.

        Raises:
            PageError: the answer was cut off, is a refusal, or does not follow the schema. The message says what is
                wrong with it, and holds nothing of the page.
        """
        check_complete(answer, request, loops=False)
        cleaned = clean(answer.response)
        try:
            data = _parse(cleaned.text)
        except ValueError as error:
            if is_refusal(cleaned.text):
                raise PageError(FailureReason.DECLINED, "The model answered that it cannot read the page.") from None
            raise PageError(FailureReason.INVALID, f"The answer is not usable JSON: {error}.") from None
        try:
            problems = self._checker.problems(data)
        except TooComplexError:
            raise PageError(FailureReason.INVALID, "The answer takes too long to check against the schema.") from None
        if problems:
            raise PageError(FailureReason.INVALID, f"The answer does not follow the schema: {'; '.join(problems)}.")
        return data, Cleaned(f"```json\n{json.dumps(data, ensure_ascii=False, indent=2)}\n```", cleaned.done)


def _parse(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value that a text is, or that is the only fenced block in it."""
    try:
        value = parse_json(text)
    except ValueError:
        fenced = _FENCED.findall(text)
        if len(fenced) != 1:
            raise
        value = parse_json(fenced[0])
    if depth_of(value) > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
    return value

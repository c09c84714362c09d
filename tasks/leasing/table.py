"""A pool's DynamoDB table: items that are changed only on condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tasks.aws.client import Aws, ask, ask_all
from tasks.core.clock import elapsed
from tasks.core.errors import CloudError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import UniversalAttributeValueTypeDef

_REFUSED = "ConditionalCheckFailedException"
_BY_DAY = "by-day"

Item = Mapping[str, Any]
Values = Mapping[str, float | str | Item]
P = ParamSpec("P")
T = TypeVar("T")


class Table:
    """Items of a table by their `id`."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws = aws
        self._name = name

    def now(self) -> float:
        """Return DynamoDB's time, seconds since the epoch: the same for all processes. See `ServerClock`."""
        return self._aws.clock.now()

    async def _ask(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Make a call, and set the clock by the response."""
        sent = elapsed()
        response = await ask(call, *arguments, **named)
        if isinstance(response, dict):
            headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            self._aws.clock.note(headers.get("date", ""), sent, elapsed())
        return response

    async def get(self, key: str) -> Item:
        """Return an item by a consistent read, which misses no earlier write. Empty if there is none."""
        get = self._aws.dynamodb.get_item
        response = await self._ask(get, TableName=self._name, Key=_key(key), ConsistentRead=True)
        return response.get("Item", {})

    async def query(self, day: str, kind: str) -> list[Item]:
        """Return a day's items whose id begins with a word, by the index of days. The latest may be missing.

        Raises:
            CloudError: AWS refuses; also if the table is older than the index.
        """
        return await ask_all(
            self._aws.dynamodb,
            "query",
            "Items",
            TableName=self._name,
            IndexName=_BY_DAY,
            KeyConditionExpression="#day = :day AND begins_with(id, :kind)",
            ExpressionAttributeNames={"#day": "day"},
            ExpressionAttributeValues={":day": string(day), ":kind": string(kind)},
        )

    async def put_new(self, key: str, item: Item) -> None:
        """Create an item, unless there is one."""
        try:
            await self._ask(
                self._aws.dynamodb.put_item,
                TableName=self._name,
                Item={**_key(key), **item},
                ConditionExpression="attribute_not_exists(id)",
            )
        except CloudError as error:
            if error.code != _REFUSED:
                raise

    async def update(
        self, key: str, change: str, condition: str, values: Values, names: Mapping[str, str] | None = None
    ) -> bool:
        """Change an item if the condition holds, and return whether it did.

        Both are DynamoDB's expressions, with placeholders `:name` for values and `#name` for names.
        """
        try:
            await self._ask(
                self._aws.dynamodb.update_item,
                TableName=self._name,
                Key=_key(key),
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeValues={f":{name}": _value(value) for name, value in values.items()},
                **({"ExpressionAttributeNames": names} if names else {}),  # type: ignore[arg-type] # none is no empty one
            )
        except CloudError as error:
            if error.code == _REFUSED:
                return False
            raise
        return True

    async def delete(self, key: str) -> None:
        """Delete an item, if there is one."""
        await self._ask(self._aws.dynamodb.delete_item, TableName=self._name, Key=_key(key))


def number(value: float) -> dict[str, str]:
    """Return a number as DynamoDB writes it."""
    return {"N": f"{value:.3f}" if isinstance(value, float) else str(value)}


def string(value: str) -> dict[str, str]:
    """Return a text as DynamoDB writes it."""
    return {"S": value}


def float_of(item: Item, name: str) -> float:
    """Return a number of an item; 0 if it has none."""
    return float(item.get(name, {}).get("N", 0))


def _value(value: float | str | Item) -> Any:  # noqa: ANN401 - boto3-stubs' union of all forms
    if isinstance(value, str):
        return string(value)
    return number(value) if isinstance(value, (int, float)) else value


def _key(name: str) -> dict[str, UniversalAttributeValueTypeDef]:
    return {"id": {"S": name}}

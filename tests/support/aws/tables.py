"""Tables as stacks make them, without their code."""

from __future__ import annotations

from typing import Any


def make_table(dynamodb: Any, name: str) -> None:
    """One of records by their ids."""
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )

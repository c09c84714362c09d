"""The ledger of a machine's slots as an item of the pool's table."""

import asyncio
import random
from collections.abc import Callable

from tasks.core.errors import CloudError
from tasks.leasing.table import Table, float_of
from tasks.slots.ledger import Ledger

_TRIES = 50
_FORGET_SECONDS = 86_400


class TableStore:
    """The `LedgerStore` of a machine, service or endpoint by the table's time: the clocks of the runs do not matter."""

    poll_seconds = 0.5
    watch_seconds = 1.5
    lease_seconds = 30.0

    def __init__(self, table: Table, machine: str, server: str = "") -> None:
        self.server = server
        self._table = table
        self._key = f"slots#{machine}"

    def stamp(self) -> object:
        """See `LedgerStore`: it would take a call to AWS."""
        return None

    def now(self) -> float:
        """See `LedgerStore`."""
        return self._table.now()

    async def change(self, change: Callable[[Ledger], Ledger]) -> Ledger:
        """See `LedgerStore`.

        Raises:
            CloudError: AWS refuses or cannot be reached.
        """
        for _ in range(_TRIES):
            item = await self._table.get(self._key)
            before = Ledger.read(item["ledger"]["S"]) if item else Ledger()
            after = change(before)
            if after == before or await self._put(after, int(float_of(item, "version"))):
                return after
            await asyncio.sleep(random.uniform(0, 0.1))  # noqa: S311 - so that runs that collided do not again
        raise CloudError(f"{self._key} is changed by other runs all the time. Run again.")

    async def _put(self, ledger: Ledger, seen: int) -> bool:
        return await self._table.update(
            self._key,
            "SET ledger = :ledger, version = :next, forget_at = :forget",
            "version = :seen" if seen else "attribute_not_exists(id)",
            {
                **{"ledger": ledger.model_dump_json(), "next": seen + 1},
                **{"forget": int(self.now()) + _FORGET_SECONDS},
                **({"seen": seen} if seen else {}),
            },
        )

"""Whether both sides hold the same: row by row and column by column, with checksums to keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from tirelessd.core.errors import StartError
from tirelessd.store.transfer.rows import ITEMS, PAUSES, TABLES, Batch, Row, Table
from tirelessd.store.transfer.source import Source
from tirelessd.store.transfer.target import Target

_PACKED: Final = msgspec.msgpack.Encoder().encode


class Differs(StartError):
    """The sides do not hold the same; the message names where."""


class Sum(msgspec.Struct, frozen=True):
    """What one table came to: its rows, and the SHA-256 of them, the same on both sides."""

    table: str
    rows: int
    sha256: str


class Tally:
    """The running checksums of one table, of both sides."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.rows = 0
        self._source, self._target = sha256(), sha256()

    def add(self, expected: Sequence[Row], found: Sequence[Row]) -> None:
        """Take in the same part of both sides; raises `Differs` naming the first difference."""
        key = self._table.key
        stored = {key(row): row for row in found}
        # In the source's order, which is the same however the walk over it is cut.
        in_order = [stored.get(key(row)) for row in expected]
        if in_order != list(expected) or len(stored) != len(expected):
            raise Differs(next(_differences(self._table, expected, stored)))
        self.rows += len(expected)
        for digest, rows in ((self._source, expected), (self._target, in_order)):
            digest.update(b"".join(map(_PACKED, rows)))

    def sum(self) -> Sum:
        """What they came to."""
        if self._source.digest() != self._target.digest():
            raise Differs(f"{self._table.name}: the checksums differ")
        return Sum(self._table.name, self.rows, self._source.hexdigest())


class Comparison:
    """Both stores, compared from the first row to the last."""

    def __init__(self, source: Source, target: Target) -> None:
        self._source, self._target = source, target
        self._tallies = {table: Tally(table) for table in TABLES}

    async def add(self, batch: Batch) -> None:
        """Read a batch of the source back from the target; raises `Differs`."""
        found = await self._target.rows_like(batch)
        for table, rows in batch.rows.items():
            self._tallies[table].add(rows, found[table])

    async def end(self) -> Sequence[Sum]:
        """Compare what no batch has: pauses, and what the target has besides; the sums of all."""
        self._tallies[PAUSES].add(self._source.pauses(), await self._target.pauses())
        for table, tally in self._tallies.items():
            count = await self._target.count(table)
            if count != tally.rows:
                raise Differs(
                    f"{table.name}: {tally.rows} rows in the embedded store, {count} in the "
                    f"database{await self._example(table)}"
                )
        return [tally.sum() for tally in self._tallies.values()]

    async def _example(self, table: Table) -> str:
        """Name an item that only the target has."""
        if table is ITEMS:
            async for item_id in self._target.ids():
                if not self._source.knows(item_id):
                    return f", such as {item_id}"
        return ""


def _differences(table: Table, expected: Sequence[Row], stored: Mapping[Row, Row]) -> Iterator[str]:
    """Where two parts differ; values stay unsaid, for they may be secrets of callers."""
    known = set()
    for row in expected:
        key = table.key(row)
        known.add(key)
        other = stored.get(key)
        if other is None:
            yield f"{_name(table, key)} is missing in the database"
        elif columns := [
            column
            for column, one, another in zip(table.columns, row, other, strict=True)
            if one != another
        ]:
            yield f"{_name(table, key)} differs in {', '.join(columns)}"
    for key in stored.keys() - known:
        yield f"{_name(table, key)} is in the database only"


def _name(table: Table, key: Row) -> str:
    return f"{table.name}: {' '.join(map(str, key))}"

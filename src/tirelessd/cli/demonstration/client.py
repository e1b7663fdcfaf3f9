"""What anybody could do over HTTP: submit items, look at them, read the counters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tirelessd.cli.demonstration.process import Addresses, DemoFailed

QUEUE: Final = "predictions"
PAGE: Final = 1_000


class Counters:
    """The counters of one scrape."""

    def __init__(self, exposition: str) -> None:
        self._samples = [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(exposition)
            for sample in family.samples
        ]

    def total(self, name: str, **labels: str) -> int:
        """The sum over all series of the demo's queue that have these labels."""
        wanted = {"queue": QUEUE, **labels}.items()
        # Counters are floats on the wire, and whole numbers in truth.
        return round(
            sum(
                value
                for found, its, value in self._samples
                if found == f"tirelessd_{name}_total" and wanted <= its.items()
            )
        )


class DeadLetter(msgspec.Struct, frozen=True):
    """An item that was given up: its number, and what its page says."""

    item: int
    id: str
    attempts: int
    last_error: str


class Client:
    """Talks to one daemon; any answer that is no success raises `DemoFailed`."""

    def __init__(self, session: aiohttp.ClientSession, addresses: Addresses) -> None:
        self._session = session
        self._addresses = addresses
        self._numbers: dict[str, int] = {}

    @property
    def accepted(self) -> int:
        """How many items were answered 202."""
        return len(self._numbers)

    async def submit(self, items: Sequence[int]) -> None:
        """POST items, some at a time; all are durable when this returns."""
        await asyncio.gather(*map(self._submit_one, items))

    async def _submit_one(self, number: int) -> None:
        url = f"{self._addresses.api}/v1/queues/{QUEUE}/items"
        async with self._session.post(url, json={"item": number}) as response:
            answer = await _checked(response)
        self._numbers[answer["id"]] = number

    async def retrying(self) -> int:
        """How many items wait for another attempt; more than a page of them count as a page."""
        query = f"state=retrying&limit={PAGE}"
        url = f"{self._addresses.api}/v1/queues/{QUEUE}/items?{query}"
        async with self._session.get(url) as response:
            return len((await _checked(response))["items"])

    async def counters(self) -> Counters:
        """What /metrics says now."""
        async with self._session.get(f"{self._addresses.ops}/metrics") as response:
            if response.status != 200:
                raise DemoFailed(f"/metrics answered {response.status}")
            return Counters(await response.text())

    async def dead_letters(self) -> list[DeadLetter]:
        """Every item that was given up, in the order of its number."""
        # Page by page, as anybody would with more than one page of them.
        found: list[DeadLetter] = []
        after: str | None = ""
        while after is not None:
            query = {"queue": QUEUE, "limit": str(PAGE)} | ({"after": after} if after else {})
            url = f"{self._addresses.api}/v1/dead-letters"
            async with self._session.get(url, params=query) as response:
                page = await _checked(response)
            found += self._dead_letters(page)
            after = page["next_after"]
        return sorted(found, key=lambda letter: letter.item)

    def _dead_letters(self, page: Mapping[str, Any]) -> Iterator[DeadLetter]:
        for item in page["items"]:
            error = item["last_error"]["detail"]
            yield DeadLetter(self._numbers[item["id"]], item["id"], item["attempts"], error)


async def _checked(response: aiohttp.ClientResponse) -> Any:
    body = await response.read()
    if not response.ok:
        words = body.decode(errors="replace")[:300]
        raise DemoFailed(f"{response.method} {response.url} answered {response.status}: {words}")
    return msgspec.json.decode(body)

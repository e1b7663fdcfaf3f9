"""C5: a caller that loses its connection finds its item again by its key; one key is one item."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.faults.experiment import Experiment, Scale
from tests.faults.ledger import Entry
from tests.faults.stranger import hang_up, port_of, request, say

pytestmark = pytest.mark.unhurried

AT_ONCE = 32


def keyed(key: str, *fields: str) -> bytes:
    """A request of the bytes that the ledger would send under this key."""
    kind = "Content-Type: application/octet-stream"
    return request(f"ok:{key}:".encode(), f"Idempotency-Key: {key}", kind, *fields)


async def lose_answers(experiment: Experiment, keys: list[str]) -> None:
    """Submit each and go before the answer, at once or a little later, rudely or not."""
    port, source = port_of(experiment.daemon.urls["api"]), experiment.source
    gate = asyncio.Semaphore(AT_ONCE)

    async def lose(raw: bytes) -> None:
        async with gate:
            # Some in the middle of the request, which is then nobody's item.
            end = source.choice([len(raw), len(raw), len(raw), source.randrange(1, len(raw))])
            await hang_up(port, raw[:end], is_rude=source.random() < 0.8)

    await asyncio.gather(*(lose(keyed(key)) for key in keys))


async def submit_all(experiment: Experiment, keys: list[str], word: str = "ok") -> list[Entry]:
    """Submit each through the ledger."""
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:
        submit = experiment.ledger.submit
        return await asyncio.gather(
            *(submit(session, experiment.url(), word, key=key) for key in keys)
        )


@pytest.mark.row("C5")
async def test_lost_answers_are_found_again_by_their_keys(
    experiment: Experiment, scale: Scale
) -> None:
    """After a thousand resets the same keys answer with one item each, twice the same."""
    await experiment.start()
    keys = [experiment.ledger.new_key() for _ in range(scale.pick(100, 1_000))]

    await lose_answers(experiment, keys)
    first = await submit_all(experiment, keys)
    again = await submit_all(experiment, keys)

    assert {entry.status for entry in (*first, *again)} == {202}
    assert [entry.item_id for entry in first] == [entry.item_id for entry in again]
    assert len({entry.item_id for entry in first}) == len(keys)
    books = await experiment.finish(kills=0)
    assert len(books.items) == len(keys)


@pytest.mark.row("C5")
async def test_pipelined_posts_are_answered_in_order_and_all_durable(
    experiment: Experiment, scale: Scale
) -> None:
    """A thousand on one connection; the n-th answer is the n-th item's, also after `kill -9`."""
    daemon = await experiment.start()
    ledger = experiment.ledger
    keys = [ledger.new_key() for _ in range(scale.pick(150, 1_000))]
    raw = b"".join(keyed(key, "Connection: keep-alive") for key in keys[:-1]) + keyed(keys[-1])

    heard = await say(port_of(daemon.urls["api"]), raw, seconds=30.0)
    await experiment.kill()
    await daemon.start()

    assert heard.end == "closed"
    assert heard.statuses == [202] * len(keys)
    for key, document in zip(keys, heard.documents, strict=True):
        await ledger.write(Entry(key, "acked", 202, document["id"], word="ok"))
    books = await experiment.finish(kills=1)
    assert books.rows is not None
    assert {
        key: books.rows[document["id"]].key
        for key, document in zip(keys, heard.documents, strict=True)
    } == {key: key for key in keys}


@pytest.mark.row("C5")
async def test_pipelined_posts_whose_caller_goes_are_items_or_are_not(
    experiment: Experiment, scale: Scale
) -> None:
    """Reset in the middle of many: the same keys again come to one item each."""
    daemon = await experiment.start()
    keys = [experiment.ledger.new_key() for _ in range(scale.pick(150, 1_000))]
    raw = b"".join(keyed(key, "Connection: keep-alive") for key in keys)

    await hang_up(port_of(daemon.urls["api"]), raw)
    entries = await submit_all(experiment, keys)

    assert {entry.status for entry in entries} == {202}
    books = await experiment.finish(kills=0)
    assert len(books.items) == len(keys)


@pytest.mark.row("C5")
async def test_one_key_is_one_item_whoever_asks_when(experiment: Experiment) -> None:
    """Fifty at once, another body, and the same again after `kill -9`, all about one item."""
    daemon = await experiment.start()
    key = experiment.ledger.new_key()

    crowd = await submit_all(experiment, [key] * 50)
    other = (await submit_all(experiment, [key], "fail"))[0]
    await experiment.kill()
    await daemon.start()
    later = (await submit_all(experiment, [key]))[0]
    other_later = (await submit_all(experiment, [key], "fail"))[0]

    assert {(entry.status, entry.item_id) for entry in (*crowd, later)} == {
        (202, later.item_id),
    }
    for refused in (other, other_later):
        assert (refused.status, refused.answer["code"]) == (422, "idempotency_key_reused")
        assert refused.answer["item_id"] == later.item_id
    books = await experiment.finish(kills=1)
    assert list(books.items) == [later.item_id]

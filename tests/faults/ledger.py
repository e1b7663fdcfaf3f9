"""The caller's own books: what was promised to it, written down and flushed before it counts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiohttp

Fate = Literal["acked", "refused", "ambiguous"]


@dataclass(frozen=True)
class Entry:
    """One submission and what its caller knows of it."""

    key: str
    fate: Fate
    status: int
    item_id: str = ""
    seconds: float = 0.0
    why: str = ""


class Ledger:
    """Submits items and keeps account; `name` makes the keys of a run unique."""

    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.entries: list[Entry] = []

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    async def submit(self, session: aiohttp.ClientSession, url: str, word: str) -> Entry:
        """POST one item with a key of its own, and write down what became of it."""
        key = f"{self._name}-{len(self.entries)}-{os.urandom(4).hex()}"
        started = asyncio.get_running_loop().time()
        entry = Entry(key, "ambiguous", 0)
        try:
            async with session.post(
                url, data=f"{word}:{key}".encode(), headers={"Idempotency-Key": key}
            ) as response:
                answer = await response.json(content_type=None)
                seconds = asyncio.get_running_loop().time() - started
                is_acked = response.status == 202
                fate: Fate = "acked" if is_acked else "refused"
                if answer.get("accepted") == "unknown":
                    fate = "ambiguous"
                entry = Entry(key, fate, response.status, answer.get("id", ""), seconds)
        except aiohttp.ClientConnectorError:
            entry = Entry(key, "refused", 0)
        except (aiohttp.ClientError, TimeoutError) as error:
            entry = Entry(key, "ambiguous", 0, why=repr(error))
        self._write(entry)
        return entry

    def _write(self, entry: Entry) -> None:
        os.write(self._descriptor, f"{entry.key} {entry.fate} {entry.item_id}\n".encode())
        os.fdatasync(self._descriptor)
        self.entries.append(entry)

    def of(self, fate: Fate) -> list[Entry]:
        """The entries of a fate."""
        return [entry for entry in self.entries if entry.fate == fate]


async def load(
    ledger: Ledger,
    url: Callable[[], str],
    *,
    rate: float,
    until: asyncio.Event,
    most: int,
    word: Callable[[int], str] = lambda _: "ok",
) -> None:
    """An open loop: a submission every 1/rate seconds, whatever the answers, until told to stop.

    `most` bounds the run in count. `url` is asked anew each time, for a restarted daemon has
    another port.
    """
    pending: set[asyncio.Task[Entry]] = set()
    connector = aiohttp.TCPConnector(limit=16)
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        for number in range(most):
            if until.is_set():
                break
            work = ledger.submit(session, url(), word(number))
            task = asyncio.get_running_loop().create_task(work)
            pending.add(task)
            task.add_done_callback(pending.discard)
            try:
                await asyncio.wait_for(until.wait(), 1 / rate)
            except TimeoutError:
                continue
        if pending:
            await asyncio.wait(pending)

"""The caller's own books: what was promised to it, written down and flushed before it counts."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp
import msgspec

PROBLEM_TYPE = "application/problem+json"

Fate = Literal["acked", "refused", "ambiguous"]


@dataclass(frozen=True)
class Entry:
    """One submission and what its caller knows of it.

    `status` is 0 without a complete answer. `answer` is the JSON that came with it. Instants are
    those of the event loop's clock.
    """

    key: str
    fate: Fate
    status: int
    item_id: str = ""
    seconds: float = 0.0
    why: str = ""
    word: str = ""
    digest: str = ""
    sent_at: float = 0.0
    answer: dict[str, Any] = field(default_factory=dict)
    content_type: str = ""
    retry_after: str = ""

    @property
    def answered_at(self) -> float:
        """When the caller knew."""
        return self.sent_at + self.seconds


class Ledger:
    """Submits items and keeps account; `name` makes the keys of a run unique.

    What is written is flushed by a thread, as many entries at a time as have come in: the disk is
    waited for, the event loop is not.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._sent = 0
        self._unwritten: list[Entry] = []
        self._flushing: asyncio.Task[None] | None = None
        self.entries: list[Entry] = []

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def new_key(self) -> str:
        """A key that no other submission has."""
        self._sent += 1
        return f"{self._name}-{self._sent}"

    async def submit(
        self,
        session: aiohttp.ClientSession,
        url: str,
        word: str,
        *,
        size_bytes: int = 0,
        key: str | None = None,
        **headers: str,
    ) -> Entry:
        """POST one item with a key of its own, and write down what became of it.

        The payload is `<word>:<key>:` and filler up to `size_bytes`.
        """
        key = key or self.new_key()
        body = f"{word}:{key}:".encode().ljust(size_bytes, b".")
        sent_at = asyncio.get_running_loop().time()
        try:
            async with session.post(
                url, data=body, headers={"Idempotency-Key": key, **headers}
            ) as response:
                known = judged(response, await response.read())
        except aiohttp.ClientConnectorError as error:
            known = {"fate": "refused", "status": 0, "why": repr(error)}
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            known = {"fate": "ambiguous", "status": 0, "why": repr(error)}
        seconds = asyncio.get_running_loop().time() - sent_at
        digest = hashlib.sha256(body).hexdigest()
        entry = Entry(key, word=word, digest=digest, sent_at=sent_at, seconds=seconds, **known)
        await self.write(entry)
        return entry

    async def submit_batch(
        self, session: aiohttp.ClientSession, url: str, words: Sequence[str]
    ) -> list[Entry]:
        """POST several items in one batch; each line has an entry, all are flushed together."""
        texts = {key: f"{word}:{key}:" for word in words if (key := self.new_key())}
        lines = [
            msgspec.json.encode({"payload": text, "idempotency_key": key})
            for key, text in texts.items()
        ]
        headers = {"Content-Type": "application/x-ndjson"}
        sent_at = asyncio.get_running_loop().time()
        results: dict[int, dict[str, Any]] = {}
        known: dict[str, Any] = {"fate": "ambiguous", "status": 0}
        try:
            async with session.post(url, data=b"\n".join(lines), headers=headers) as response:
                body = await response.read()
                known = judged(response, body)
                results = {each["line"]: each for each in known["answer"].get("results", [])}
        except aiohttp.ClientConnectorError:
            known = {"fate": "refused", "status": 0}
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            known["why"] = repr(error)
        seconds = asyncio.get_running_loop().time() - sent_at
        entries = [
            Entry(
                key,
                word=text.partition(":")[0],
                digest=hashlib.sha256(msgspec.json.encode(text)).hexdigest(),
                sent_at=sent_at,
                seconds=seconds,
                **line_fate(known, results.get(number)),
            )
            for number, (key, text) in enumerate(texts.items(), start=1)
        ]
        await asyncio.gather(*map(self.write, entries))
        return entries

    async def write(self, entry: Entry) -> None:
        """Keep an entry; it counts from when the disk has it."""
        self._unwritten.append(entry)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush())
        await asyncio.shield(self._flushing)

    async def _flush(self) -> None:
        while self._unwritten:
            batch, self._unwritten = self._unwritten, []
            await asyncio.to_thread(self._put, batch)
            self.entries += batch

    def _put(self, batch: list[Entry]) -> None:
        lines = [f"{e.sent_at:.6f} {e.key} {e.fate} {e.status} {e.item_id}\n" for e in batch]
        os.write(self._descriptor, "".join(lines).encode())
        os.fdatasync(self._descriptor)

    def of(self, fate: Fate) -> list[Entry]:
        """The entries of a fate."""
        return [entry for entry in self.entries if entry.fate == fate]


def line_fate(known: dict[str, Any], result: dict[str, Any] | None) -> dict[str, Any]:
    """What became of one line of a batch, or of the batch when the line has no answer."""
    if result is None:
        return known
    if "id" in result:
        return {"fate": "acked", "status": 202, "item_id": result["id"]}
    problem = result["problem"]
    is_known = problem["status"] < 500 or problem.get("accepted") is False
    content_type, retry_after = known["content_type"], known["retry_after"] or "in the answer"
    return {
        "fate": "refused" if is_known else "ambiguous",
        "status": problem["status"],
        # A line is found by its batch's request, and has no number of its own.
        "answer": {"request_id": "the batch's", **problem},
        "content_type": PROBLEM_TYPE if known["status"] == 202 else content_type,
        "retry_after": retry_after,
    }


def judged(response: aiohttp.ClientResponse, body: bytes) -> dict[str, Any]:
    """What a complete answer means: only a 202 that can be read is a promise."""
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        answer = {}
    answer = answer if isinstance(answer, dict) else {}
    known = {
        "status": response.status,
        "answer": answer,
        "content_type": response.content_type,
        "retry_after": response.headers.get("Retry-After", ""),
    }
    if response.status == 202 and "id" in answer:
        return {"fate": "acked", "item_id": answer["id"], **known}
    is_refused = 400 <= response.status < 500 or answer.get("accepted") is False
    return {"fate": "refused" if is_refused else "ambiguous", "why": str(answer), **known}

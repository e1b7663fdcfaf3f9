"""Hints between processes: what one tells the others hear, and whoever cannot hear knows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import pytest
from asyncpg import Connection, Record

from tests.clock import ManualClock
from tests.postgres import execute, make_database
from tests.recorder import Recorder
from tests.waiting import a_moment, wait_until
from tirelessd.core.events import HintsUnheard, StoreOperationFinished
from tirelessd.store.postgres import hints as hints_module
from tirelessd.store.postgres.hints import SPREAD_SECONDS, Hints

PATIENCE_SECONDS = 10.0
END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
Connect = Callable[[], AbstractAsyncContextManager["Connection[Record]"]]


class Process:
    """One of those that share a database, and what it heard."""

    def __init__(self, connect: Connect) -> None:
        self.recorder = Recorder()
        self.hints = Hints(connect, ManualClock(), self.recorder)
        self.heard: list[str] = []
        self._listening = asyncio.create_task(self.hints.listen(self.heard.append))

    async def end(self) -> None:
        """It goes, as a drain ends."""
        self._listening.cancel()
        await asyncio.wait([self._listening])

    async def wait_listening(self) -> None:
        """Return once it hears what others tell."""
        await wait_until(self.is_listening, PATIENCE_SECONDS)

    async def is_listening(self) -> bool:
        """Whether it does."""
        return self.hints.is_listening

    async def wait_deaf(self) -> None:
        """Return once it knows that it hears nothing."""
        await wait_until(self.is_deaf, PATIENCE_SECONDS)

    async def is_deaf(self) -> bool:
        """Whether it knows."""
        return not self.hints.is_listening

    async def wait_heard(self, *queues: str) -> None:
        """Return once it heard of these and nothing else."""

        async def has_heard() -> bool:
            return self.heard == list(queues)

        await wait_until(has_heard, PATIENCE_SECONDS)


def connecting(url: str) -> Connect:
    """How to get a connection there."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Connection[Record]]:
        connection = await asyncpg.connect(url)
        try:
            yield connection
        finally:
            connection.terminate()

    return connect


@pytest.fixture
async def url() -> str:
    """An empty database: hints need no table."""
    return await make_database()


@pytest.fixture
async def processes(url: str) -> AsyncIterator[tuple[Process, Process]]:
    """Two that listen."""
    processes = Process(connecting(url)), Process(connecting(url))
    for process in processes:
        await process.wait_listening()
    yield processes
    for process in processes:
        await process.end()


async def test_what_one_tells_the_other_hears(processes: tuple[Process, Process]) -> None:
    """Whoever tells it knows already."""
    one, two = processes

    one.hints.tell("work")

    await two.wait_heard("work")
    assert one.heard == []


async def test_what_is_told_a_thousand_times_is_heard_a_few_times(
    processes: tuple[Process, Process],
) -> None:
    """A pool looks once for any number of items."""
    one, two = processes

    for number in range(1000):
        one.hints.tell("work" if number % 2 else "play")
    await one.end()
    await a_moment(4 * SPREAD_SECONDS)

    assert sorted(two.heard) == ["play", "work"]


async def test_session_that_was_ended_is_begun_anew(
    processes: tuple[Process, Process], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known at once that nothing is heard, and after a while all is heard again."""
    monkeypatch.setattr(hints_module, "RETRY_SECONDS", 0.2)
    one, two = processes

    await execute(url, END_OTHERS)
    await two.wait_deaf()
    for process in processes:
        await process.wait_listening()
    one.hints.tell("work")

    await two.wait_heard("work")
    errors = two.recorder.of(StoreOperationFinished, lambda event: event.error_kind is not None)
    assert [error.error_kind for error in errors] == ["connection"]


class _Pooled:
    """A connection as a transaction pooler gives it: what others notify goes to somebody else."""

    def __init__(self, connection: Connection[Record]) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def add_listener(self, *_arguments: object) -> None:
        """Listen in a session that the next statement is not in."""


async def test_behind_a_pooler_nobody_believes_to_be_listening(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One's own word does not come back: so others' would not. It is told once, and no error."""
    monkeypatch.setattr(hints_module, "ANSWER_SECONDS", 0.5)

    @asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        async with connecting(url)() as connection:
            yield _Pooled(connection)

    monkeypatch.setattr(hints_module, "DEAF_SECONDS", 0.1)
    process = Process(connect)
    told = await process.recorder.wait_for(StoreOperationFinished, 2)

    assert not process.hints.is_listening
    assert [event.error_kind for event in told] == [None] * len(told)
    assert len(process.recorder.of(HintsUnheard)) == 1
    await process.end()


async def test_last_word_of_one_who_goes_is_heard(processes: tuple[Process, Process]) -> None:
    """What a drain hands back waits for nobody's next look."""
    one, two = processes

    one.hints.tell("work")
    await one.end()

    await two.wait_heard("work")


class _Silence(AbstractAsyncContextManager["Connection[Record]"]):
    """A server that takes a connection and never says a word."""

    async def __aenter__(self) -> Connection[Record]:
        await asyncio.Event().wait()
        raise AssertionError

    async def __aexit__(self, *_error: object) -> None:
        """Nothing was had."""


async def test_end_of_one_who_reaches_nobody_is_bounded() -> None:
    """A server that never answers holds up no shutdown."""
    process = Process(_Silence)
    process.hints.tell("work")

    await asyncio.wait_for(process.end(), 1.0)

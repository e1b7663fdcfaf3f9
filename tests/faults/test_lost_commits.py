"""D1 and more: a connection breaks in COMMIT, and the daemon finds out what became of it."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from tests.faults.conduct import check_refusals_are_quick
from tests.faults.database import Database
from tests.faults.experiment import Experiment, Scale
from tests.faults.ledger import Entry
from tests.faults.proxy import Proxy, Trouble, reset
from tests.faults.shared import CALLERS, HEALED_SECONDS, RATE, wait_idle, what_unknown_fates_break
from tests.waiting import a_moment, wait_until

# What the message has with which intake commits.
COMMIT = (b"'intake'", b"COMMIT")
Moment = Literal["", "asked", "done"]


class CommitCutter(Proxy):
    """Breaks connections at the COMMIT of an intake, so many times as `left` says.

    "asked": the server never reads it. "done": the server has done it, and its answer is lost.
    With `is_final` nobody gets through from then on, until it heals.
    """

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.moment: Moment = ""
        self.left = 0
        self.is_final = False
        self._doomed: set[asyncio.StreamWriter] = set()

    def arm(self, moment: Moment, times: int, *, is_final: bool = False) -> None:
        """Break the next ones."""
        self.moment, self.left, self.is_final = moment, times, is_final

    async def _put(self, writer: asyncio.StreamWriter, data: bytes, trouble: Trouble) -> None:
        client, server = next(ways for ways in self._ways.values() if writer in ways)
        if writer is client and client in self._doomed:
            self._doomed.remove(client)
            self._break(client, server)
        if writer is server and self.left and all(word in data for word in COMMIT):
            self.left -= 1
            if self.moment == "asked":
                self._break(client, server)
            self._doomed.add(client)
        await super()._put(writer, data, trouble)

    def _break(self, *both: asyncio.StreamWriter) -> None:
        self.is_refusing = self.is_final
        for each in both:
            reset(each)
        if self.is_final:
            self.reset_all()
        raise ConnectionResetError

    async def wait_broken(self) -> None:
        """Return once everything that was asked for has been broken."""

        async def is_broken() -> bool:
            return not self.left and not self._doomed

        await wait_until(is_broken, 10)


@pytest.mark.row("D1")
@pytest.mark.timeout(120)
async def test_commit_of_which_no_answer_came_is_looked_for(
    experiment: Experiment, scale: Scale, database: Database
) -> None:
    """Done: 202. Not done: again, and 503 if that fails too. Nobody to ask: 503, `unknown`."""
    async with CommitCutter(database.port) as cutter:
        await experiment.start(store=database.url_through(cutter.port))

        async with experiment.load(rate=RATE, connections=CALLERS) as load:
            for _ in range(scale.pick(3, 30)):
                for moment in ("done", "asked"):
                    cutter.arm(moment, 1)
                    await cutter.wait_broken()
            await wait_answered(experiment, load.sent)
            refused_before = not_acked(experiment)
            await break_until_told(experiment, cutter, "asked", 2, told=False)
            await break_until_told(experiment, cutter, "done", 1, told="unknown")
            await a_moment(scale.pick(0.2, 5.0))
            cutter.heal()
            await experiment.heal(HEALED_SECONDS)
        await wait_idle(experiment)

        books = await experiment.finish(without=what_unknown_fates_break(experiment))
    assert refused_before == []
    check_refusals_are_quick(books)


def not_acked(experiment: Experiment) -> list[Entry]:
    """The submissions without a promise so far."""
    return [entry for entry in experiment.ledger.entries if entry.fate != "acked"]


async def wait_answered(experiment: Experiment, count: int) -> None:
    """Return once so many submissions have been answered."""

    async def are_answered() -> bool:
        return len(experiment.ledger.entries) >= count

    await wait_until(are_answered, 5)


async def break_until_told(
    experiment: Experiment,
    cutter: CommitCutter,
    moment: Moment,
    times: int,
    *,
    told: bool | str,
) -> None:
    """Break commits in this way until a caller has been told that; a mark's own has no caller."""

    async def is_told() -> bool:
        if not cutter.left:
            cutter.arm(moment, times, is_final=told == "unknown")
        return any(entry.answer.get("accepted") == told for entry in not_acked(experiment))

    await wait_until(is_told, 10)
    cutter.arm("", 0)

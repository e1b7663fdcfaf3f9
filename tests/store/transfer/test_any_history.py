"""Whatever has happened to a store, nobody notices that it was moved, then or later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from tests.store.shelf import key
from tests.store.test_model import QUEUES, History
from tests.store.transfer.moving import Ends, answers

KEYS = [(queue, key("x", print_, 1.0)) for queue in QUEUES for print_ in (b"1", b"2")]


class MovedHistory(History):
    """Calls on an embedded store, which is moved in between, and on its model, which is not."""

    kind = "sqlite"
    is_moved = False

    @precondition(lambda self: not self.is_moved and len(self.model.entries) > 2)
    @rule()
    def move(self) -> None:
        """The daemon is stopped, its store moved, and another one started on the database."""
        self.is_moved = True
        before = self.wait(self.ask())
        ends = Ends(Path(self.folder.name, "tirelessd.db"), self.shelf.clock)
        self.wait(self.shelf.store.close())

        self.wait(ends.database.open())
        self.wait(ends.move())

        self.shelf = ends.target
        self.wait(self.shelf.store.open())
        assert self.wait(self.ask()) == before
        if self.model.leased():
            self.crash(3)

    async def ask(self) -> dict[str, Any]:
        """What callers and operators hear now."""
        return await answers(self.shelf.store, list(self.model.entries), KEYS, QUEUES, [None])

    def teardown(self) -> None:
        """A history that was never moved is moved at its end."""
        if not self.is_moved:
            self.move()
        super().teardown()


def test_a_move_is_seen_by_nobody() -> None:
    """Every answer is the same before and after, and so is every later effect of every call."""
    run_state_machine_as_test(
        MovedHistory, settings=settings(max_examples=4, stateful_step_count=25)
    )

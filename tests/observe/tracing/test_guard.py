"""A defect of the tracer costs a trace and nothing else."""

from __future__ import annotations

from pathlib import Path

from tests.engine.script import FAST_RETRY, House
from tests.observe.tracing.told import CALLER
from tirelessd.core.events import ItemSucceeded, UnexpectedError
from tirelessd.core.item import Claim
from tirelessd.core.queue import QueueConfig
from tirelessd.core.trace import AttemptTrace, RequestTrace, SendTrace, TraceContext
from tirelessd.core.tracer import NO_TRACER
from tirelessd.engine.intake import Submission
from tirelessd.observe.tracing.guard import Guarded


class Defect:
    """A tracer that cannot begin anything."""

    def request(self, method: str, route: str, caller: TraceContext | None) -> RequestTrace:
        """Raise."""
        raise ZeroDivisionError

    def send(self, queue: str, parent: TraceContext | None, items: int) -> SendTrace:
        """Raise."""
        raise ZeroDivisionError

    def attempt(self, claim: Claim) -> AttemptTrace:
        """Raise."""
        raise ZeroDivisionError


async def test_an_item_goes_its_way_without_its_tracer(tmp_path: Path) -> None:
    """It is stored and attempted with the caller's own context; each failure is told."""
    house = House(tmp_path / "store.db", [QueueConfig("work", retry=FAST_RETRY)])
    house.tracer = Guarded(Defect(), house.recorder)
    await house.start()

    await house.engine.intake.accept("work", Submission(b"x", "text/plain", trace=CALLER))
    (done,) = await house.recorder.wait_for(ItemSucceeded)

    wheres = [told.where for told in house.recorder.of(UnexpectedError)]
    assert done.trace == CALLER
    assert wheres == ["tracer of items", "tracer of an attempt"]
    await house.crash()


def test_a_request_goes_its_way_too() -> None:
    """With its caller's context."""
    told: list[object] = []

    trace = Guarded(Defect(), told.append).request("POST", "/", CALLER)

    assert trace.context == NO_TRACER.request("POST", "/", CALLER).context == CALLER
    assert len(told) == 1

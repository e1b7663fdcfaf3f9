"""Every observer sees every event, whatever another does with it."""

from __future__ import annotations

import pytest

from tests.recorder import Recorder
from tirelessd.core.events import Event, QueueResumed, UnexpectedError
from tirelessd.observe.dispatch import Table, fan_out


def break_down(_event: Event) -> None:
    """An observer with a defect."""
    raise RuntimeError("odd")


def everything(recorder: Recorder) -> Table:
    """The table of an observer that keeps what these tests are about."""
    return {QueueResumed: recorder, UnexpectedError: recorder}


def test_all_observers_see_an_event() -> None:
    """In their order."""
    first, second = Recorder(), Recorder()

    fan_out([{QueueResumed: first}, {QueueResumed: second}])(QueueResumed("work"))

    assert first.events == second.events == [QueueResumed("work")]


def test_a_broken_observer_takes_nothing_from_the_others() -> None:
    """The event reaches them, and so does what is wrong; the caller's work goes on."""
    recorder = Recorder()

    fan_out([{QueueResumed: break_down}, everything(recorder)])(QueueResumed("work"))

    (defect,) = recorder.of(UnexpectedError)
    assert defect.where == "observer of QueueResumed"
    assert recorder.of(QueueResumed) == [QueueResumed("work")]


def test_an_observer_that_ends_the_process_may() -> None:
    """A cancellation or an exit is nobody's defect."""

    def leave(_event: Event) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        fan_out([{QueueResumed: leave}])(QueueResumed("work"))

"""Events to those who see them: by type through a dict, and to all of them whatever one does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tirelessd.core.events import Emit, Event, UnexpectedError

Table = Mapping[type[Event], Callable[[Any], None]]
"""Which method sees events of which type."""


def fan_out(observers: Sequence[Emit]) -> Emit:
    """One `emit` for all observers, in their order; it never raises.

    An observer that fails is a defect of the observer, told to all of them as `UnexpectedError`;
    the item that the event is about goes its way. One that fails at that too is not told again.
    """

    def emit(event: Event) -> None:
        for observe in observers:
            try:
                observe(event)
            except Exception as error:  # noqa: BLE001  (whatever it is, the work goes on)
                # Told through the same observers, which is safe as it happens once at the most.
                if not isinstance(event, UnexpectedError):
                    emit(UnexpectedError(f"observer of {type(event).__name__}", error))

    return emit

"""Events to those who see them: one look-up by type, then everybody who wants to know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tirelessd.core.events import Emit, Event, UnexpectedError

See = Callable[[Any], None]

Table = Mapping[type[Event], See]
"""Which method sees events of which type."""


def fan_out(tables: Sequence[Table]) -> Emit:
    """One `emit` for the observers with these tables, in their order; it never raises.

    An observer that fails is a defect of the observer, told to all of them as `UnexpectedError`;
    the item that the event is about goes its way. One that fails at that too is not told again.
    """
    merged: dict[type[Event], list[See]] = defaultdict(list)
    for table in tables:
        for kind, see in table.items():
            merged[kind].append(see)
    seen_by = {kind: tuple(sees) for kind, sees in merged.items()}

    def emit(event: Event) -> None:
        for see in seen_by.get(type(event), ()):
            try:
                see(event)
            except Exception as error:  # noqa: BLE001  (whatever it is, the work goes on)
                # Told through the same observers, which is safe as it happens once at the most.
                if not isinstance(event, UnexpectedError):
                    emit(UnexpectedError(f"observer of {type(event).__name__}", error))

    return emit

"""A structlog logger whose calls never fail for want of fitting arguments.

structlog formats `"%d items", "five"` in the caller's frame, and raises there. A handler would lose
its attempt to a slip in a line of its log; the standard library's logging forgives the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, cast

import structlog
from structlog.typing import FilteringBoundLogger

from tirelessd.observe.safety import safe_value

_METHODS: Final = (
    "debug",
    "info",
    "msg",
    "warn",
    "warning",
    "error",
    "exception",
    "fatal",
    "critical",
)


def forgiving_logger(level: int) -> type[FilteringBoundLogger]:
    """structlog's logger from that level on; arguments that do not fit their text are left out."""
    base = structlog.make_filtering_bound_logger(level)
    methods = {name: _forgiving(getattr(base, name)) for name in _METHODS}
    return cast(type[FilteringBoundLogger], type(base.__name__, (base,), methods))


def _forgiving(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def write(self: object, event: object, *args: object, **fields: object) -> Any:
        if args:
            try:
                return method(self, event, *args, **fields)
            except Exception:  # noqa: BLE001  (arguments are formatted there, and raise anything)
                event = safe_value(event)
        return method(self, event, **fields)

    return write

"""What the handlers of the API work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

from tirelessd.api.auth import Caller
from tirelessd.api.budget import BodyBudget
from tirelessd.api.limits import Limits
from tirelessd.core.clock import Clock
from tirelessd.core.events import Emit
from tirelessd.core.trace import TraceContext
from tirelessd.core.tracer import NO_TRACER, Tracer
from tirelessd.engine.desk import Desk
from tirelessd.engine.intake import Intake


class Services(msgspec.Struct, frozen=True):
    """The engine's two counters, and what the edge itself needs."""

    intake: Intake
    desk: Desk
    limits: Limits
    bodies: BodyBudget
    emit: Emit
    clock: Clock
    tracer: Tracer = NO_TRACER


# Where a submit request keeps its place in a trace, if it has any.
TRACE: Final = web.RequestKey("trace", TraceContext)

Handle = Callable[[Services, web.Request, Caller], Awaitable[web.Response]]

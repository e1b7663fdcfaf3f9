"""The application of the intake and read API, built from the table of routes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.web_urldispatcher import PlainResource

from tirelessd.api.answers import SERVER
from tirelessd.api.auth import Auth
from tirelessd.api.body import defer_continue
from tirelessd.api.budget import BodyBudget
from tirelessd.api.endpoint import Endpoint, SubmitEndpoint, refuse
from tirelessd.api.limits import Limits
from tirelessd.api.openapi import OPENAPI_PATH, description
from tirelessd.api.refusals import MethodNotAllowed, UnknownPath
from tirelessd.api.routes import ROUTES
from tirelessd.api.services import Services
from tirelessd.core.clock import Clock
from tirelessd.core.events import Emit
from tirelessd.core.tracer import NO_TRACER, Tracer
from tirelessd.engine.desk import Desk
from tirelessd.engine.intake import Intake

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]

ANY_PATH: Final = "/{path:.*}"


def build_app(
    intake: Intake,
    desk: Desk,
    auth: Auth,
    limits: Limits,
    emit: Emit,
    clock: Clock,
    tracer: Tracer = NO_TRACER,
) -> web.Application:
    """Every route of the table, `/openapi.json`, and a problem document for everything else."""
    bodies = BodyBudget(limits.held_bytes)
    services = Services(intake, desk, limits, bodies, emit, clock, tracer)
    app = web.Application()
    paths: dict[str, dict[str, Serve]] = defaultdict(dict)
    # aiohttp tries the paths in this order, and the table begins with the busiest.
    for route in ROUTES:
        kind = SubmitEndpoint if route.is_submit else Endpoint
        serve = paths[route.path][route.method] = kind(route, services, auth).serve
        if route.is_submit:
            for queue in intake.queue_names:
                resource = SubmitPath(route.path, queue)
                app.router.register_resource(resource)
                resource.add_route(route.method, serve, expect_handler=defer_continue)
    paths[OPENAPI_PATH][hdrs.METH_GET] = _serve_description(auth)
    for path, methods in paths.items():
        _add_path(app, path, methods)
    app.router.add_route("*", ANY_PATH, _refuse_path, expect_handler=defer_continue)
    return app


class SubmitPath(PlainResource):
    """The path of a configured queue, found by one look-up instead of by trying patterns.

    Other methods and queues that are not configured go by the patterns. `described_as` is the path
    that the table has.
    """

    def __init__(self, path: str, queue: str) -> None:
        super().__init__(path.format(queue=queue))
        self.described_as = path
        self._found = {"queue": queue}

    def _match(self, path: str) -> dict[str, str] | None:
        return self._found if path == self._path else None


def _add_path(app: web.Application, path: str, methods: Mapping[str, Serve]) -> None:
    served = dict(methods)
    if hdrs.METH_GET in served:
        served[hdrs.METH_HEAD] = served[hdrs.METH_GET]
    allow = ", ".join(sorted(served))

    async def refuse_method(request: web.Request) -> web.Response:
        return refuse(request, MethodNotAllowed(request.method, allow))

    resource = app.router.add_resource(path)
    for method, serve in served.items():
        resource.add_route(method, serve, expect_handler=defer_continue)
    # Last, for it takes every method; aiohttp's own 405 would be no problem document.
    resource.add_route("*", refuse_method, expect_handler=defer_continue)


async def _refuse_path(request: web.Request) -> web.Response:
    return refuse(request, UnknownPath())


def _serve_description(auth: Auth) -> Serve:
    """The description never changes while the daemon runs: it is written once."""
    document = msgspec.json.encode(description(has_tokens=auth.has_tokens))

    async def serve_description(request: web.Request) -> web.Response:
        del request
        headers = {"Content-Type": "application/json", "Server": SERVER}
        return web.Response(body=document, headers=headers)

    return serve_description

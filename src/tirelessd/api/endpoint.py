"""One call's way through the edge: admit, handle, and turn whatever goes wrong into a problem."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from aiohttp import hdrs, web

from tirelessd.api.answers import REPLAYED
from tirelessd.api.auth import Auth
from tirelessd.api.headers import trace_context
from tirelessd.api.problems import (
    CATALOGUE,
    code_of,
    new_request_id,
    problem_headers,
    problem_of,
    problem_response,
)
from tirelessd.api.refusals import UnknownPath
from tirelessd.api.routes import Route
from tirelessd.api.services import TRACE, Services
from tirelessd.core.errors import InvalidRequest, ItemNotFound, UnknownQueue
from tirelessd.core.events import (
    IntakeRequestFinished,
    IntakeRequestStarted,
    IntakeResult,
    UnexpectedError,
)
from tirelessd.core.trace import RequestTrace

# It says nothing but that it happened, so one serves for all requests.
_STARTED = IntakeRequestStarted()


class Endpoint:
    """Serves one route."""

    def __init__(self, route: Route, services: Services, auth: Auth) -> None:
        self._route = route
        self._services = services
        self._auth = auth

    async def serve(self, request: web.Request) -> web.Response:
        """Answer the request, whatever happens; only a cancellation gets out."""
        try:
            return await self._handle(request)
        except Exception as error:  # noqa: BLE001  (the edge answers for all behind it)
            return self._answer_problem(request, error)

    async def _handle(self, request: web.Request) -> web.Response:
        caller = self._auth.admit(request, self._route.scope)
        try:
            return await self._route.handle(self._services, request, caller)
        finally:
            # The engine has what it needs by now; what it keeps is bounded by the queue's capacity.
            self._services.bodies.release(request)

    def _answer_problem(self, request: web.Request, error: Exception) -> web.Response:
        route = self._route
        request_id = new_request_id()
        if code_of(error) == "internal_error":
            where = f"{route.method} {route.path} (request {request_id})"
            self._services.emit(UnexpectedError(where, error, request.get(TRACE)))
        response = refuse(request, error, is_submit=route.is_submit, request_id=request_id)
        if response.status == 503:
            seconds = self._services.intake.retry_after_seconds(request.match_info.get("queue"))
            response.headers["Retry-After"] = str(seconds)
        return response


class SubmitEndpoint(Endpoint):
    """Serves a route that takes items in: every request is counted once, by how it ended."""

    async def serve(self, request: web.Request) -> web.Response:
        """As `Endpoint.serve`, with the events that tell of it."""
        emit, clock = self._services.emit, self._services.clock
        started_at = clock.monotonic()
        emit(_STARTED)
        trace = self._follow(request)
        # What stays if no answer is made: only the end of a shutdown cancels a handler.
        result: IntakeResult = "draining"
        status = 503
        try:
            response, result = await self._submit(request)
            status = response.status
        finally:
            duration_seconds = clock.monotonic() - started_at
            emit(IntakeRequestFinished(result, status, duration_seconds, trace.context))
            trace.answered(status)
        return response

    def _follow(self, request: web.Request) -> RequestTrace:
        """Begin to follow the request, from where its caller says that it comes."""
        caller = trace_context(request.headers)
        trace = self._services.tracer.request(self._route.method, self._route.path, caller)
        if trace.context is not None:
            request[TRACE] = trace.context
        return trace

    async def _submit(self, request: web.Request) -> tuple[web.Response, IntakeResult]:
        try:
            response = await self._handle(request)
        except Exception as error:  # noqa: BLE001  (the edge answers for all behind it)
            return self._answer_problem(request, error), CATALOGUE[code_of(error)].result
        # Both intake calls set the header exactly when nothing new was stored.
        return response, "duplicate" if REPLAYED in response.headers else "accepted"


def refuse(
    request: web.Request,
    error: Exception,
    *,
    is_submit: bool = False,
    request_id: str = "",
) -> web.Response:
    """The problem document for an error; ends a connection that cannot be read further."""
    # Looked at here and not before: a path that leads somewhere is text, and stays cheap.
    if isinstance(error, UnknownPath | UnknownQueue | ItemNotFound) and not _is_utf8(request):
        error = InvalidRequest("path", "is not UTF-8")
    problem = problem_of(error, is_submit=is_submit, request_id=request_id or new_request_id())
    response = problem_response(problem, problem_headers(error))
    # After a broken or late body nobody knows where it ends, and a client that was not told to
    # continue may send its body or leave it: what follows could be taken for the wrong thing.
    is_broken = problem.code in {"malformed_request", "request_timeout"}
    if is_broken or (hdrs.EXPECT in request.headers and not request.content.is_eof()):
        response.force_close()
    return response


def _is_utf8(request: web.Request) -> bool:
    """Whether the path means any text at all; asked only about paths that lead nowhere."""
    try:
        unquote_to_bytes(request.raw_path).decode()
    except UnicodeError:
        return False
    return True

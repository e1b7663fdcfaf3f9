"""One HTTP connection: aiohttp's, with deadlines that hold and no word in anybody's log.

aiohttp parses and serves. This adds what it leaves to the application: a deadline for the headers
of a request and for a client that does not take its answer, a last answer before a shutdown, a cap
on connections, and problem documents instead of tracebacks for what clients do wrong.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import struct
from http import HTTPStatus
from typing import Any, Final

from aiohttp import HttpVersion11, hdrs, http_exceptions, web
from aiohttp.web_request import BaseRequest

from tirelessd.api.answers import WholeAnswer
from tirelessd.api.grammar import StrictParser, complaint, too_large
from tirelessd.api.limits import Limits
from tirelessd.api.problems import new_request_id, problem_of, problem_response
from tirelessd.api.refusals import MalformedRequest, Overloaded, RequestTimeout, UnknownPath
from tirelessd.core.events import Emit, UnexpectedError

# A client that is refused while it still sends is read on for a while, so that it sees the answer
# instead of a reset; much longer would let it hold the connection for nothing.
LINGERING_SECONDS: Final = 5.0
# The same for what is no request: nothing but the answer is owed to it.
REFUSED_SECONDS: Final = 1.0
# What heads that have begun to arrive may take, of all connections together: the usual one comes
# complete and takes nothing.
HELD_HEADS_BYTES: Final = 33_554_432


class Roster:
    """The open connections of one listener; with `is_leaving` each gives one more answer.

    `spare_descriptors` are for others: files, the other listener, a connection for each slot.
    """

    def __init__(self, limits: Limits, emit: Emit, spare_descriptors: int = 0) -> None:
        self.limits = limits
        self.emit = emit
        self._spare_descriptors = spare_descriptors
        self.is_leaving = False
        self.held_heads_bytes = 0
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._all_gone = asyncio.Event()

    def __len__(self) -> int:
        return len(self._connections)

    def join(self, connection: Connection) -> bool:
        """Take a new connection in; False when there are as many as there may be.

        Whatever the limit, a listener has no more than its part of the process's file descriptors,
        and as many fewer as others may need; a quarter is what callers get in any case.
        """
        # Asked anew each time: an operator can lower the limit of a running process.
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        part = int(descriptors * self.limits.descriptor_share)
        rest = max(descriptors - self._spare_descriptors, descriptors // 4)
        if len(self._connections) >= min(self.limits.connections, part, rest):
            return False
        self._connections.add(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._connections.discard(connection)
        if not self._connections:
            self._all_gone.set()

    def watch(self, task: asyncio.Task[None]) -> None:
        """Keep the task that serves a connection in sight, which may outlive it."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end_handlers(self, seconds: float) -> None:
        """Cancel what is still served though its connection is gone; they get a moment to end."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def finish(self, seconds: float) -> None:
        """Close what is idle, let the others give a last answer, and end the rest in time."""
        for connection in tuple(self._connections):
            connection.close_if_idle()
        if self._connections:
            self._all_gone.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._all_gone.wait()
            except TimeoutError:
                for connection in tuple(self._connections):
                    connection.abort()


class Connection(web.RequestHandler):
    """A connection with its deadlines; `manager` is aiohttp's server behind it."""

    __slots__ = (
        "_head_bytes",
        "_head_timer",
        "_is_deaf",
        "_is_late",
        "_left",
        "_roster",
        "_wire",
        "_write_timer",
    )

    def __init__(self, manager: web.Server, roster: Roster) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp takes None for "write none"
            keepalive_timeout=roster.limits.idle_seconds,
            lingering_time=min(LINGERING_SECONDS, roster.limits.body_seconds),
            # No body is ever unpacked: encoded ones are refused before anybody looks inside.
            auto_decompress=False,
        )
        self._roster = roster
        # aiohttp forgets its transport when it closes it, though bytes may still wait to be sent.
        self._wire: asyncio.WriteTransport | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        # Of a head that is not complete yet.
        self._head_bytes = 0
        self._is_late = False
        self._is_deaf = False
        self._left: asyncio.Future[None] | None = None
        # aiohttp makes its parser itself, and asks whatever stands here.
        assert self._parser is not None
        parser = StrictParser(self._parser, roster.limits.header_bytes)
        self._parser = parser  # type: ignore[assignment]  # has what is called

    # --- deadlines -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start serving, or close at once when the listener is full."""
        if not self._roster.join(self):
            # Without aiohttp's part of this call there is no task and no timer to clean up.
            self.force_close()
            transport.close()
            return
        super().connection_made(transport)
        self._is_late = self._roster.is_leaving
        self._wire = self.transport
        if self._task_handler is not None:
            self._roster.watch(self._task_handler)
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection; a handler that is at work goes on to its end."""
        super().connection_lost(exc)
        self._cancel_timers()
        self._forget_head()
        if self._left is not None and not self._left.done():
            self._left.set_result(None)
        self._roster.leave(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and watch how long a head takes to be complete."""
        if self._is_deaf:
            return
        # A request that comes in one piece, the usual one, costs no timer: only a head that is
        # still incomplete after this call gets one.
        requests = self._request_count
        super().data_received(data)
        if self._request_count != requests:
            if self._head_bytes:
                self._forget_head()
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif data and self._is_between_requests and (self._head_bytes or not data.isspace()):
            # Empty lines before a request line are allowed, and are no request yet (RFC 9112).
            self._hold_head(len(data))

    def _hold_head(self, size_bytes: int) -> None:
        """Count what came of a head that is not complete, and bound how much and how long."""
        self._head_bytes += size_bytes
        self._roster.held_heads_bytes += size_bytes
        if self._head_bytes > self._roster.limits.header_bytes:
            most = self._roster.limits.header_bytes
            self._refuse_head(MalformedRequest(too_large(most)))
        elif self._roster.held_heads_bytes > HELD_HEADS_BYTES:
            self._refuse_head(Overloaded())
        elif self._head_timer is None:
            self._await_head()

    def _forget_head(self) -> None:
        self._roster.held_heads_bytes -= self._head_bytes
        self._head_bytes = 0

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002  (aiohttp's)
        """Go on reading if reading was paused; aiohttp asks for it after every body."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    @property
    def _is_between_requests(self) -> bool:
        # The first request may arrive before aiohttp's task waits for it, a later one never does.
        return self._request_count == 0 or (self._waiter is not None and not self._waiter.done())

    def _await_head(self) -> None:
        self._head_timer = self._loop.call_later(
            self._roster.limits.header_seconds, self._give_up_head
        )

    def _give_up_head(self) -> None:
        self._head_timer = None
        # To a client that sent nothing an answer would be one to a question it has yet to ask.
        if self._head_bytes:
            limits = self._roster.limits
            self._refuse_head(RequestTimeout("headers", limits.header_seconds))
        else:
            self.force_close()

    def _refuse_head(self, error: Exception) -> None:
        """Answer what is not a request yet, and so has no way through a handler; and close."""
        if self._is_deaf or self.transport is None:
            return
        self.transport.write(_bare_answer(error))
        self._stop_listening()
        self._head_timer = self._loop.call_later(REFUSED_SECONDS, self.force_close)

    def _stop_listening(self) -> None:
        """End this direction, and let go by whatever the client still sends.

        Closed with bytes unread, the connection would be reset, and the answer lost with it.
        """
        assert self.transport is not None
        self._is_deaf = True
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._forget_head()
        self.transport.write_eof()
        self.transport.resume_reading()

    async def _linger(self) -> None:
        """Return when the client has left, or has been waited for long enough."""
        if self.transport is not None and not self.transport.is_closing():
            self._stop_listening()
            self._left = self._loop.create_future()
            await asyncio.wait({self._left}, timeout=REFUSED_SECONDS)

    def pause_writing(self) -> None:
        """The client does not take its answer: it gets a while."""
        # Called only when the buffer is full, so that an answer that is taken costs no timer.
        super().pause_writing()
        self._write_timer = self._loop.call_later(self._roster.limits.body_seconds, self.abort)

    def resume_writing(self) -> None:
        """The client took enough."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _cancel_timers(self) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()

    # --- the end -------------------------------------------------------------

    def close_if_idle(self) -> None:
        """Close between two requests; a request that has begun to arrive gets its answer first.

        So does one that is about to come on a connection that was made in the last moments.
        """
        if self._is_deaf:
            self.force_close()
        is_waited_for = self._is_late and not self._request_count
        is_idle = self._is_between_requests and not self._messages and not is_waited_for
        is_idle = is_idle and not self._head_bytes
        if is_idle and self._current_request is None:
            self.force_close()

    def abort(self) -> None:
        """Close without waiting for anything to be written."""
        self.force_close()
        if self._wire is not None:
            # With RST: what the client does not take would stay in the kernel's memory for minutes.
            if (sock := self._wire.get_extra_info("socket")) is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._wire.abort()

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; the last one of its connection when the listener is closing."""
        if isinstance(resp, web.HTTPException):
            # Only aiohttp's router raises these, for targets that are no path: `*`, `host:port`.
            resp = _problem_answer(UnknownPath())
        # Told to the client, so that it sends its next request elsewhere instead of into a
        # connection that is closing. After an `Upgrade` that nobody accepts, aiohttp's parser loses
        # what came along with the request: nothing may follow it here.
        if self._roster.is_leaving or hdrs.UPGRADE in request.headers:
            resp.force_close()
        if isinstance(resp, WholeAnswer) and self._may_send_whole(request, resp):
            return await self._send_whole(resp), False
        finished = await super().finish_response(request, resp, start_time)
        if isinstance(resp, web.Response):
            # aiohttp keeps the last answer as long as its connection waits for another request.
            resp.body = None
            resp.headers.clear()
        if resp.status == HTTPStatus.BAD_REQUEST and not resp.keep_alive:
            # Nobody knows where this request ends, so the client may be in the midst of it.
            await self._linger()
        return finished

    def _may_send_whole(self, request: BaseRequest, answer: WholeAnswer) -> bool:
        """Whether nothing about the request makes its answer another than the usual one."""
        is_usual = request.version == HttpVersion11 and request.method != hdrs.METH_HEAD
        is_kept = request.keep_alive and answer.keep_alive is None and not self._upgraded
        return (
            is_usual and is_kept and self.transport is not None and not self.transport.is_closing()
        )

    async def _send_whole(self, answer: WholeAnswer) -> WholeAnswer:
        assert self.transport is not None
        self.transport.write(answer.wire())
        if self._paused:
            await self._drain_helper()
        return answer

    # --- what went wrong -----------------------------------------------------

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never reached a handler: bad HTTP, or a defect of the edge itself."""
        del message  # it quotes the request
        if status < 500:
            response = _problem_answer(MalformedRequest(complaint(exc)))
        else:
            error = exc if isinstance(exc, Exception) else RuntimeError(str(exc))
            self._roster.emit(UnexpectedError("HTTP connection", error))
            response = _problem_answer(error)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Where aiohttp would log: a client's fault is nobody's news, a defect is an event."""
        error = kw.get("exc_info")
        # These come of resets and broken bodies, also after the answer, while aiohttp reads on.
        client_faults = (OSError, web.RequestPayloadError, http_exceptions.HttpProcessingError)
        if not isinstance(error, client_faults):
            if not isinstance(error, BaseException):
                error = RuntimeError(" ".join(map(str, args)))
            self._roster.emit(UnexpectedError("HTTP connection", error))


def _problem_answer(error: Exception) -> web.Response:
    return problem_response(problem_of(error, request_id=new_request_id()))


def _bare_answer(error: Exception) -> bytes:
    """The whole answer to what is no request, ready to be sent as it is."""
    response = _problem_answer(error)
    if response.status == 503:
        # No queue's pace tells when others will be done sending.
        response.headers["Retry-After"] = "1"
    body = response.body
    assert isinstance(body, bytes)
    head = (
        f"HTTP/1.1 {response.status} {response.reason}",
        *(f"{name}: {value}" for name, value in response.headers.items()),
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join((*head, "", "")).encode() + body

"""The listener: deadlines, the cap, and an end that waits for the living and not for the dead."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from aiohttp import web

from tests.api.conftest import LIMITS
from tests.api.edge import Wire
from tests.recorder import Recorder
from tests.waiting import wait_until
from tirelessd.api import connection
from tirelessd.api.limits import Limits
from tirelessd.api.listener import Listener
from tirelessd.core.errors import StartError
from tirelessd.core.events import ListenerOpened, UnexpectedError

GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
HURRIED = msgspec.structs.replace(LIMITS, header_seconds=0.1, body_seconds=0.1)


class Door:
    """A listener on an application that answers when the test lets it."""

    def __init__(self, limits: Limits) -> None:
        self.entered = asyncio.Event()
        self.leave = asyncio.Event()
        self.leave.set()
        self.was_cancelled = False
        self.answers: list[web.Response] = []
        self.recorder = Recorder()
        self._wires: list[Wire] = []
        app = web.Application()
        app.router.add_get("/", self._serve)
        app.router.add_get("/much", self._serve_much)
        app.router.add_get("/broken", self._break)
        self.listener = Listener("api", app, "127.0.0.1", 0, limits, self.recorder)

    async def _serve(self, request: web.Request) -> web.Response:
        self.entered.set()
        try:
            await self.leave.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        self.answers.append(web.Response(text=request.path))
        return self.answers[-1]

    async def _serve_much(self, request: web.Request) -> web.Response:
        del request
        self.entered.set()
        return web.Response(body=b"x" * 50_000_000)

    async def _break(self, request: web.Request) -> web.Response:
        raise RuntimeError("a defect")

    async def knock(self) -> Wire:
        """A new connection."""
        self._wires.append(await Wire.connect(self.listener.port))
        return self._wires[-1]

    async def close(self) -> None:
        """Stop, and let go of all connections."""
        await self.listener.stop(0)
        for wire in self._wires:
            wire.close()

    async def is_empty(self) -> bool:
        """Whether no connection is open."""
        return self.listener.connections == 0


MakeDoor = Callable[..., Awaitable[Door]]


@pytest.fixture
async def make_door() -> AsyncIterator[MakeDoor]:
    """Open doors that the test need not close."""
    doors: list[Door] = []

    async def make(limits: Limits = LIMITS) -> Door:
        door = Door(limits)
        await door.listener.start()
        doors.append(door)
        return door

    yield make
    for door in doors:
        await door.close()


# --- opening -----------------------------------------------------------------


async def test_opened_listener_tells_where(make_door: MakeDoor) -> None:
    """The event carries the address with the port that the system chose."""
    door = await make_door()

    (opened,) = door.recorder.of(ListenerOpened)

    assert (opened.name, opened.url) == ("api", f"http://127.0.0.1:{door.listener.port}")
    assert door.listener.port != 0


async def test_taken_address_is_one_line_naming_the_setting(make_door: MakeDoor) -> None:
    """The daemon can print it as it is."""
    door = await make_door()
    second = Listener(
        "ops", web.Application(), "127.0.0.1", door.listener.port, LIMITS, door.recorder
    )

    with pytest.raises(StartError, match=r"^ops\.host, ops\.port: cannot listen on .*: Address"):
        await second.start()


async def test_unknown_address_is_one_line_naming_the_setting() -> None:
    """So is an address that is none of this machine's."""
    listener = Listener("api", web.Application(), "192.0.2.1", 0, LIMITS, Recorder())

    with pytest.raises(StartError, match=r"^api\.host, api\.port: cannot listen on 192\.0\.2\.1"):
        await listener.start()


async def test_stopping_what_never_started_is_no_error() -> None:
    """Whoever tidies up need not know how far the start came."""
    listener = Listener("api", web.Application(), "127.0.0.1", 0, LIMITS, Recorder())

    await listener.stop(1)

    assert listener.connections == 0


async def test_stopping_twice_is_no_error(make_door: MakeDoor) -> None:
    """The second call finds nothing to do."""
    door = await make_door()
    await door.listener.stop(1)

    await door.listener.stop(1)

    assert door.listener.connections == 0


# --- deadlines ---------------------------------------------------------------


async def test_silent_connection_is_closed(make_door: MakeDoor) -> None:
    """Nothing came, nothing is answered."""
    door = await make_door(HURRIED)

    wire = await door.knock()

    assert await wire.is_closed()


async def test_slow_headers_are_answered_and_closed(make_door: MakeDoor) -> None:
    """408 for a request that has begun and does not get on."""
    door = await make_door(HURRIED)
    wire = await door.knock()

    answer = await wire.send(b"GET / HTTP/1.1\r\nX: ").answer()

    assert (answer.status, answer.problem["code"]) == (408, "request_timeout")
    assert answer.headers["connection"] == "close"
    assert await wire.is_closed()


async def test_slow_headers_of_a_later_request_are_answered_and_closed(
    make_door: MakeDoor,
) -> None:
    """The deadline runs anew from the first byte of each request."""
    door = await make_door(HURRIED)
    wire = await door.knock()
    first = await wire.send(GET).answer()

    second = await wire.send(GET[:-2]).answer()

    assert (first.status, second.status) == (200, 408)
    assert await wire.is_closed()


async def test_headers_that_do_not_end_are_refused_at_their_limit(make_door: MakeDoor) -> None:
    """However many fields of a good size come: the memory they take is bounded."""
    door = await make_door(msgspec.structs.replace(LIMITS, header_bytes=10_000))
    wire = (await door.knock()).send(GET[:-2])

    for number in range(20):
        wire.send(b"X-%d: " % number + b"a" * 1_000 + b"\r\n")
    answer = await wire.answer()

    assert (answer.status, answer.problem["code"]) == (400, "malformed_request")
    assert "10000 bytes" in answer.problem["detail"]
    assert await wire.is_closed()
    await wait_until(door.is_empty, 10)


@pytest.mark.parametrize("pieces", [1, 2, 3])
async def test_complete_headers_are_refused_beyond_their_limit(
    make_door: MakeDoor, pieces: int
) -> None:
    """However they arrive; those at the limit are served, and so is what a body follows."""
    door = await make_door(msgspec.structs.replace(LIMITS, header_bytes=10_000))
    fits, exceeds = (of_size(size) for size in (10_000, 10_001))
    served = await (await door.knock()).send(fits).answer()
    wire = await door.knock()

    for number in range(pieces):
        length = len(exceeds) // pieces + 1
        wire.send(exceeds[number * length : (number + 1) * length])
    answer = await wire.answer()

    assert served.status == 200
    assert (answer.status, answer.problem["code"]) == (400, "malformed_request")
    assert "10000 bytes" in answer.problem["detail"]
    assert await wire.is_closed()


def of_size(size_bytes: int) -> bytes:
    """A request with headers of so many bytes."""
    line, _, fields = GET[:-2].partition(b"\r\n")
    left = size_bytes - len(fields) - len(b"X: \r\nY: \r\n")
    filling = b"X: " + b"a" * 5_000 + b"\r\nY: " + b"a" * (left - 5_000) + b"\r\n"
    return line + b"\r\n" + fields + filling + b"\r\n"


async def test_headers_of_all_connections_together_are_bounded(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is beyond the bound is turned away; what comes complete needs no room."""
    monkeypatch.setattr(connection, "HELD_HEADS_BYTES", 30_000)
    door = await make_door()
    some = GET[:-2] + b"X: " + b"a" * 7_000

    wires = [(await door.knock()).send(some) for _ in range(5)]
    whole = await (await door.knock()).send(GET).answer()
    answers = [await wire.send(b"\r\n\r\n").answer() for wire in wires]

    refused = [answer for answer in answers if answer.status != 200]
    assert whole.status == 200
    assert [answer.problem["code"] for answer in refused] == ["overloaded"]
    assert refused[0].headers["retry-after"] == "1"


async def test_deadline_for_headers_ends_with_the_headers(make_door: MakeDoor) -> None:
    """A request that is being answered takes as long as it takes."""
    door = await make_door(HURRIED)
    door.leave.clear()
    wire = (await door.knock()).send(GET)
    await door.entered.wait()
    late = asyncio.get_running_loop().call_later(2 * HURRIED.header_seconds, door.leave.set)

    answer = await wire.answer()

    assert (answer.status, late.when() > 0) == (200, True)


async def test_empty_lines_between_requests_are_no_request(make_door: MakeDoor) -> None:
    """Old clients send them after a body (RFC 9112, 2.2): no deadline starts to run."""
    limits = msgspec.structs.replace(HURRIED, idle_seconds=0.5)
    door = await make_door(limits)
    wire = await door.knock()
    await wire.send(GET).answer()

    wire.send(b"\r\n\r\n")

    assert await wire.is_closed()


async def test_idle_connection_is_closed(make_door: MakeDoor) -> None:
    """Kept open between requests for so long and no longer."""
    door = await make_door(msgspec.structs.replace(LIMITS, idle_seconds=0.1))
    wire = await door.knock()

    answer = await wire.send(GET).answer()

    assert answer.status == 200
    assert await wire.is_closed()


async def test_client_that_takes_no_answer_is_cut_off(make_door: MakeDoor) -> None:
    """An answer that nobody reads is not kept for ever, nor by the kernel: that takes a reset."""
    door = await make_door(HURRIED)
    wire = await door.knock()
    wire.stop_reading()

    wire.send(b"GET /much HTTP/1.1\r\nHost: t\r\n\r\n")
    await door.entered.wait()

    await wait_until(door.is_empty, 10)
    wire.read_on()
    with pytest.raises(ConnectionResetError):
        await wire.rest()


async def test_connection_does_not_keep_its_last_answer(make_door: MakeDoor) -> None:
    """What was sent takes no memory while thousands of connections wait for their next request."""
    door = await make_door()

    answer = await (await door.knock()).send(GET).answer()

    async def is_dropped() -> bool:
        return door.answers[0].body is None and not door.answers[0].headers

    assert answer.body == b"/"
    await wait_until(is_dropped, 10)


# --- the cap -----------------------------------------------------------------


async def test_connections_over_the_cap_are_closed_at_once(make_door: MakeDoor) -> None:
    """Those that are in go on; a place that is left can be taken."""
    door = await make_door(msgspec.structs.replace(LIMITS, connections=2))
    first, second = await door.knock(), await door.knock()
    await second.send(GET).answer()

    refused = await door.knock()
    is_refused = await refused.is_closed()
    first.close()
    await wait_until(lambda: is_at(door, 1), 10)
    third = await door.knock()

    assert is_refused
    assert (await second.send(GET).answer()).status == 200
    assert (await third.send(GET).answer()).status == 200


async def is_at(door: Door, connections: int) -> bool:
    """Whether so many connections are open."""
    return door.listener.connections == connections


async def test_descriptors_bound_the_connections_too(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store and the upstreams keep a quarter of them, also when the limit falls meanwhile."""
    door = await make_door()
    before = await door.knock()
    await before.send(GET).answer()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2, 2))

    refused = await door.knock()

    assert await refused.is_closed()
    assert (await before.send(GET).answer()).status == 200


# --- the end -----------------------------------------------------------------


async def test_idle_connection_is_closed_at_the_end(make_door: MakeDoor) -> None:
    """It had its answers, so nobody is waited for."""
    door = await make_door()
    wire = await door.knock()
    await wire.send(GET).answer()

    await door.listener.stop(60)

    assert await wire.is_closed()
    with pytest.raises(ConnectionRefusedError):
        await door.knock()


async def test_connection_just_made_may_ask_before_the_end(make_door: MakeDoor) -> None:
    """Who connected before the end is heard, though nothing has come of it yet."""
    door = await make_door()
    wire = await door.knock()

    stopping = asyncio.gather(door.listener.stop(60))
    await asyncio.sleep(0)
    answer = await wire.send(GET).answer()
    await stopping

    assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_connection_that_the_kernel_made_is_served_before_the_end(
    make_door: MakeDoor,
) -> None:
    """Also one that nobody has accepted yet: closing the socket would reset it."""
    door = await make_door()
    with socket.create_connection(("127.0.0.1", door.listener.port)) as caller:
        caller.sendall(GET)

        await door.listener.stop(60)

        assert caller.recv(100).startswith(b"HTTP/1.1 200")


async def test_nobody_connects_while_the_last_are_served(make_door: MakeDoor) -> None:
    """Once the last connections are taken in the address is closed: no other would be served."""
    door = await make_door()
    port = door.listener.port
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(GET)

        stopping = asyncio.gather(door.listener.stop(60))
        await asyncio.sleep(0)

        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        await stopping
        assert caller.recv(100).startswith(b"HTTP/1.1 200")


async def test_answers_are_the_last_once_leaving_has_begun(make_door: MakeDoor) -> None:
    """New connections are still taken, each for one answer."""
    door = await make_door()
    before = await door.knock()
    await before.send(GET).answer()

    door.listener.begin_leaving()
    answers = [await wire.send(GET).answer() for wire in (before, await door.knock())]

    assert [(answer.status, answer.headers["connection"]) for answer in answers] == [
        (200, "close"),
        (200, "close"),
    ]


async def test_request_at_work_is_answered_before_the_end(make_door: MakeDoor) -> None:
    """Its answer says that it is the last one of the connection."""
    door = await make_door()
    door.leave.clear()
    wire = (await door.knock()).send(GET)
    await door.entered.wait()

    stopping = asyncio.gather(door.listener.stop(60))
    await asyncio.sleep(0)
    door.leave.set()
    answer = await wire.answer()
    await stopping

    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await wire.is_closed()


async def test_request_half_arrived_is_answered_before_the_end(make_door: MakeDoor) -> None:
    """What has begun may be completed."""
    door = await make_door()
    wire = (await door.knock()).send(GET[:10])
    await wait_until(lambda: is_at(door, 1), 10)
    for _ in range(10):
        await asyncio.sleep(0)

    stopping = asyncio.gather(door.listener.stop(60))
    await asyncio.sleep(0)
    answer = await wire.send(GET[10:]).answer()
    await stopping

    assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_request_that_has_just_arrived_is_answered_before_the_end(
    make_door: MakeDoor,
) -> None:
    """What the kernel holds already is no idle connection."""
    door = await make_door()
    wires = [await door.knock() for _ in range(20)]
    for wire in wires:
        await wire.send(GET).answer()
        wire.send(GET)

    await door.listener.stop(60)

    assert [(await wire.answer()).status for wire in wires] == [200] * 20


async def test_dripping_client_cannot_hold_the_end(make_door: MakeDoor) -> None:
    """Silence, half a request and an unread answer are all cut off in time."""
    door = await make_door()
    silent = await door.knock()
    half = (await door.knock()).send(GET[:10])
    unread = await door.knock()
    unread.stop_reading()
    unread.send(b"GET /much HTTP/1.1\r\nHost: t\r\n\r\n")
    await door.entered.wait()

    await door.listener.stop(0.1)

    assert door.listener.connections == 0
    assert await half.is_closed()
    assert await silent.is_closed()


async def test_handler_that_does_not_end_is_cancelled_at_the_end(make_door: MakeDoor) -> None:
    """After the time for requests it gets a last second, and is cancelled."""
    door = await make_door()
    door.leave.clear()
    wire = (await door.knock()).send(GET)
    await door.entered.wait()

    await door.listener.stop(0)

    assert door.was_cancelled
    assert await wire.is_closed()


async def test_defect_in_a_handler_is_an_event_and_a_problem(make_door: MakeDoor) -> None:
    """Whatever application is served: no traceback in an answer, none in a log."""
    door = await make_door()
    wire = await door.knock()

    answer = await wire.send(b"GET /broken HTTP/1.1\r\nHost: t\r\n\r\n").answer()

    assert (answer.status, answer.problem["code"]) == (500, "internal_error")
    (event,) = door.recorder.of(UnexpectedError)
    assert str(event.error) == "a defect"

"""Names are looked up beside everything else, with the system's own answers."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from tests.engine.handlers.upstream import (
    OK,
    StoppedClock,
    Upstream,
    a_context,
    an_item,
    ignore,
    sending,
)
from tirelessd.engine.handlers import resolver as resolving
from tirelessd.engine.handlers.http import HttpConfig, HttpHandler
from tirelessd.engine.handlers.resolver import (
    FRESH_SECONDS,
    LOOKUP_SECONDS,
    STALE_SECONDS,
    ThreadResolver,
)


class HandClock(StoppedClock):
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        """Where it was moved to."""
        return self.seconds


class NameServer:
    """The system's lookup, replaced by one that a test rewrites, counts and holds up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
        self.addresses: tuple[str, ...] = addresses
        self.lookups = 0
        self.is_answering = threading.Event()
        self.is_answering.set()
        monkeypatch.setattr(resolving, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, port: int, *_: object, **__: object) -> list[Any]:
        self.lookups += 1
        self.is_answering.wait(10)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        kind, stream = socket.AF_INET, socket.SOCK_STREAM
        return [(kind, stream, 6, "", (address, port)) for address in self.addresses]


async def test_name_has_the_addresses_the_system_knows() -> None:
    """A known name resolves to numeric addresses, each with its family and the port asked for."""
    resolver = ThreadResolver(StoppedClock())

    found = await resolver.resolve("localhost", 8_000)
    await resolver.close()

    assert {("127.0.0.1", socket.AF_INET)} <= {(each["host"], each["family"]) for each in found}
    assert {(each["hostname"], each["port"]) for each in found} == {("localhost", 8_000)}


@pytest.mark.parametrize("host", ["::1", "x" * 64, "a..b"])
async def test_name_without_an_address_is_an_error_of_the_system(host: str) -> None:
    """What has no address of the family asked for raises `OSError`, malformed names included."""
    resolver = ThreadResolver(StoppedClock())

    with pytest.raises(OSError, match=r".+"):
        await resolver.resolve(host, 80, socket.AF_INET)
    await resolver.close()


async def test_lookup_takes_a_thread_of_its_own() -> None:
    """The loop's default executor, which others may have filled, has no part in it."""
    before = set(threading.enumerate())
    resolver = ThreadResolver(StoppedClock())

    await resolver.resolve("127.0.0.1")
    started = set(threading.enumerate()) - before
    await resolver.close()

    assert [thread.name for thread in started] == ["tirelessd dns 1"]


NAME = ("models", 80, socket.AF_UNSPEC)


async def test_answer_is_kept_while_it_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is looked up once in a while, its addresses taken in turn, and then looked up anew."""
    server, clock = NameServer(monkeypatch, "127.0.0.2", "127.0.0.3"), HandClock()
    resolver = ThreadResolver(clock)

    firsts = [(await resolver.resolve(*NAME))[0]["host"] for _ in range(4)]
    clock.seconds = FRESH_SECONDS
    await resolver.resolve(*NAME)
    await resolver.close()

    assert firsts == ["127.0.0.3", "127.0.0.2"] * 2
    assert server.lookups == 2


async def test_lookups_of_one_name_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks while a lookup runs gets its answer, and one that leaves takes nobody along."""
    server = NameServer(monkeypatch, "127.0.0.2")
    server.is_answering.clear()
    resolver = ThreadResolver(StoppedClock())
    waiting = [asyncio.ensure_future(resolver.resolve(*NAME)) for _ in range(5)]
    await asyncio.sleep(0)

    waiting[0].cancel()
    server.is_answering.set()
    answers = await asyncio.gather(*waiting[1:])
    await resolver.close()

    assert {answer[0]["host"] for answer in answers} == {"127.0.0.2"}
    assert server.lookups == 1


async def test_lookup_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while another lookup is tried beside the one that hangs."""
    server, clock = NameServer(monkeypatch, "127.0.0.2"), HandClock()
    server.is_answering.clear()
    resolver = ThreadResolver(clock)
    hanging = asyncio.ensure_future(resolver.resolve(*NAME))
    await asyncio.sleep(0)
    clock.seconds = LOOKUP_SECONDS

    second = asyncio.ensure_future(resolver.resolve(*NAME))
    await asyncio.sleep(0)
    server.is_answering.set()
    await asyncio.gather(hanging, second)
    await resolver.close()

    assert server.lookups == 2


@pytest.mark.parametrize("addresses", [(), ("127.0.0.3",)])
async def test_renewal_changes_what_is_current(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    """A new answer replaces the old one; a failed lookup leaves it, and is not repeated at once."""
    server, clock = NameServer(monkeypatch, "127.0.0.2"), HandClock()
    resolver = ThreadResolver(clock)
    await resolver.renew(*NAME)
    await resolver.resolve(*NAME)
    server.addresses = addresses
    clock.seconds = STALE_SECONDS

    for _ in range(3):
        await resolver.renew(*NAME)
    await resolver.close()

    assert server.lookups == 2
    assert resolver.is_current("127.0.0.2", *NAME) is not bool(addresses)
    assert resolver.is_current("192.0.2.1", "another", 80, socket.AF_UNSPEC)


async def test_kept_connection_is_left_when_its_host_has_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that leads elsewhere is followed, though the old place still answers."""
    server, clock = NameServer(monkeypatch, "127.0.0.1"), HandClock()
    async with Upstream(sending(OK)) as old:
        handler = HttpHandler(HttpConfig(f"http://models:{old.port}/"), clock, ignore)
        async with Upstream(sending(OK), host="127.0.0.2", port=old.port) as new:
            await handler.open()
            for seconds in (0.0, 0.0, STALE_SECONDS):
                clock.seconds = seconds
                await handler.attempt(an_item(), a_context())
            server.addresses = ("127.0.0.2",)
            clock.seconds += STALE_SECONDS
            await handler.attempt(an_item(), a_context())
            await handler.close()

    assert (old.connections, len(old.requests)) == (1, 3)
    assert (new.connections, len(new.requests)) == (1, 1)

"""Names are looked up beside everything else, with the system's own answers."""

from __future__ import annotations

import socket
import threading

import pytest

from tirelessd.engine.handlers.resolver import ThreadResolver


async def test_name_has_the_addresses_the_system_knows() -> None:
    """A known name resolves to numeric addresses, each with its family and the port asked for."""
    resolver = ThreadResolver()

    found = await resolver.resolve("localhost", 8_000)
    await resolver.close()

    assert {("127.0.0.1", socket.AF_INET)} <= {(each["host"], each["family"]) for each in found}
    assert {(each["hostname"], each["port"]) for each in found} == {("localhost", 8_000)}


@pytest.mark.parametrize("host", ["::1", "x" * 64, "a..b"])
async def test_name_without_an_address_is_an_error_of_the_system(host: str) -> None:
    """What has no address of the family asked for raises `OSError`, malformed names included."""
    resolver = ThreadResolver()

    with pytest.raises(OSError, match=r".+"):
        await resolver.resolve(host, 80, socket.AF_INET)
    await resolver.close()


async def test_lookup_takes_a_thread_of_its_own() -> None:
    """The loop's default executor, which others may have filled, has no part in it."""
    before = set(threading.enumerate())
    resolver = ThreadResolver()

    await resolver.resolve("127.0.0.1")
    started = set(threading.enumerate()) - before
    await resolver.close()

    assert [thread.name for thread in started] == ["tirelessd dns 1"]

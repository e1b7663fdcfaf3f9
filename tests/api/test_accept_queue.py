"""A listening socket's last connections, on real sockets of both families."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from tirelessd.api.accept_queue import take_all

DEADLINE_SECONDS = 10


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["4", "6"])
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A socket that listens on loopback and accepts nobody."""
    family, host = request.param
    with socket.socket(family) as sock:
        try:
            sock.bind((host, 0))
        except OSError:
            pytest.skip(f"there is no {host} here")
        sock.listen()
        yield sock


def caller(listening: socket.socket) -> socket.socket:
    """A connection that the kernel has made."""
    return socket.create_connection(listening.getsockname()[:2], timeout=DEADLINE_SECONDS)


def test_waiting_connections_are_taken_in_order(listening: socket.socket) -> None:
    """What they have sent is there, and they can be answered."""
    with caller(listening) as first, caller(listening) as second:
        first.sendall(b"1")
        second.sendall(b"2")

        taken = take_all(listening)
        for accepted in taken:
            accepted.sendall(accepted.recv(1) * 2)
            accepted.close()

        assert (first.recv(2), second.recv(2)) == (b"11", b"22")
    assert len(taken) == 2


async def test_newcomer_is_refused_and_never_reset(listening: socket.socket) -> None:
    """Nobody is connected after the last look, so nobody can have sent what is then lost."""
    loop = asyncio.get_running_loop()
    take_all(listening)
    with socket.socket(listening.family) as late:
        late.setblocking(False)  # noqa: FBT003  (the standard library's signature)
        connecting = loop.create_task(loop.sock_connect(late, listening.getsockname()[:2]))
        done, _ = await asyncio.wait([connecting], timeout=0.2)

        listening.close()

        with pytest.raises(ConnectionRefusedError):
            await asyncio.wait_for(connecting, DEADLINE_SECONDS)
    assert not done


def test_nothing_waiting_is_nothing_taken(listening: socket.socket) -> None:
    """It does not wait for anybody."""
    assert take_all(listening) == []

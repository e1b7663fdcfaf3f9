"""The API on a real engine and a real file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import pytest
import uvloop
from pytest_aiohttp import AiohttpClient

from tests.api.edge import Edge, ListenerServer, Wire
from tests.conftest import MakeHouse
from tests.engine.script import FAST_RETRY
from tirelessd.api.auth import Token
from tirelessd.api.limits import Limits
from tirelessd.core.queue import QueueConfig

MakeEdge = Callable[..., Awaitable[Edge]]

WORK = QueueConfig("work", slots=4, retry=FAST_RETRY, forward_headers=("x-tenant",))
OTHER = QueueConfig("other", slots=1, retry=FAST_RETRY)
# Small enough to be reached, large enough for every other test.
LIMITS = Limits(body_bytes=65_536, batch_lines=3_000, batch_bytes=1_048_576, idle_seconds=30.0)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the daemon runs on; what touches connections is tried on asyncio's own too."""
    del config
    daemons_own = {"uvloop": uvloop.new_event_loop}
    if item.path.name == "test_listener.py":
        return {**daemons_own, "asyncio": asyncio.new_event_loop}
    return daemons_own


@pytest.fixture
def make_edge(make_house: MakeHouse, aiohttp_client: AiohttpClient) -> MakeEdge:
    """Put an API in front of a new house."""

    async def make(
        *queues: QueueConfig, tokens: Sequence[Token] = (), limits: Limits = LIMITS
    ) -> Edge:
        house = await make_house(*(queues or (WORK, OTHER)))
        edge = Edge(house, tokens, limits)
        edge.client = await aiohttp_client(ListenerServer(edge.listener))
        return edge

    return make


@pytest.fixture
async def edge(make_edge: MakeEdge) -> Edge:
    """An API with two queues, `work` and `other`, open to everybody."""
    return await make_edge()


@pytest.fixture
async def idle(edge: Edge) -> Edge:
    """The same with its queues paused, so that items stay as they were accepted."""
    return await edge.pause()


@pytest.fixture
async def wire(edge: Edge) -> AsyncIterator[Wire]:
    """One bare connection to the API."""
    wire = await edge.connect()
    yield wire
    wire.close()

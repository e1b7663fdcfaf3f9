"""What the http handler tells of its requests: one event each, and one for each connection."""

from __future__ import annotations

import asyncio

import pytest

from tests.engine.handlers.upstream import (
    OK,
    Upstream,
    a_context,
    an_item,
    handler_for,
    sending,
    status,
)
from tests.recorder import Recorder
from tests.waiting import wait_until
from tirelessd import GiveUp
from tirelessd.core.errors import AttemptError
from tirelessd.core.events import UpstreamConnected, UpstreamRequestFinished
from tirelessd.core.queue import UNNAMED


def answers(recorder: Recorder) -> list[tuple[str, int | None]]:
    """Destination and status of each request."""
    return [(each.destination, each.status) for each in recorder.of(UpstreamRequestFinished)]


async def test_requests_are_told_with_their_connection() -> None:
    """The second one goes over the connection that the first one made."""
    recorder = Recorder()

    async with (
        Upstream(sending(OK)) as upstream,
        handler_for(upstream.url, recorder, destination="models") as handler,
    ):
        for _ in range(2):
            await handler.attempt(an_item(), a_context())
        at_rest = handler.connections()

    assert answers(recorder) == [("models", 200)] * 2
    assert [each.is_reused for each in recorder.of(UpstreamConnected)] == [False, True]
    assert at_rest == (0, 1)
    assert handler.connections() == (0, 0)


async def test_a_failed_answer_is_told_with_its_status() -> None:
    """A destination without a name is told under the shared word."""
    recorder = Recorder()

    async with (
        Upstream(status(503)) as upstream,
        handler_for(upstream.url, recorder) as handler,
    ):
        with pytest.raises(AttemptError):
            await handler.attempt(an_item(), a_context())

    assert answers(recorder) == [(UNNAMED, 503)]


async def test_no_answer_is_told_as_none() -> None:
    """Nobody listens there, so there is no connection to tell of either."""
    recorder = Recorder()
    async with Upstream(sending(OK)) as gone:
        url = gone.url

    async with handler_for(url, recorder) as handler:
        with pytest.raises(AttemptError):
            await handler.attempt(an_item(), a_context())

    assert answers(recorder) == [(UNNAMED, None)]
    assert recorder.of(UpstreamConnected) == []


async def test_a_request_that_is_cut_off_is_told() -> None:
    """The attempt's time limit ends it from outside; it was sent all the same."""
    recorder = Recorder()

    async with Upstream(sending(b"")) as upstream, handler_for(upstream.url, recorder) as handler:
        attempt = asyncio.ensure_future(handler.attempt(an_item(), a_context()))

        async def is_sent() -> bool:
            return bool(upstream.requests)

        await wait_until(is_sent, 5)
        in_flight = handler.connections()
        attempt.cancel()
        await asyncio.wait({attempt})

    assert attempt.cancelled()
    assert in_flight == (1, 0)
    assert answers(recorder) == [(UNNAMED, None)]


async def test_what_is_never_sent_is_no_request() -> None:
    """An item that does not fit into a request reaches no upstream."""
    recorder = Recorder()

    async with Upstream(sending(OK)) as upstream, handler_for(upstream.url, recorder) as handler:
        with pytest.raises(GiveUp):
            await handler.attempt(an_item(b"", "text/plain\r\nx: y"), a_context())

    assert recorder.events == []

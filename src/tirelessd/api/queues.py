"""Looking at queues, and pausing them: `/v1/queues`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta

from tirelessd.api.answers import json_answer
from tirelessd.api.auth import Caller
from tirelessd.api.body import read_json
from tirelessd.api.options import HORIZON_SECONDS
from tirelessd.api.query import ItemsQuery, read_query, refuse_query
from tirelessd.api.services import Services
from tirelessd.api.shapes import QueueList
from tirelessd.api.views import item_list, queue_detail
from tirelessd.core.item import ShownState, State


class PauseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to pause; without it, until somebody resumes."""

    expires_in_seconds: Annotated[float, Meta(gt=0, le=HORIZON_SECONDS)] | None = None


class ResumeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to say."""


async def list_queues(services: Services, request: web.Request, caller: Caller) -> web.Response:
    """The queues that the caller may use."""
    refuse_query(request)
    # Filtered and not refused: the list is how a limited caller learns what is its own.
    views = await services.desk.queues()
    mine = [queue_detail(view) for view in views if caller.may_use(view.config.name)]
    return json_answer(QueueList(mine))


async def get_queue(services: Services, request: web.Request, caller: Caller) -> web.Response:
    """One queue."""
    refuse_query(request)
    return json_answer(queue_detail(await services.desk.queue(admitted_queue(request, caller))))


async def list_items(services: Services, request: web.Request, caller: Caller) -> web.Response:
    """Items of a queue in the order of acceptance, a page at a time."""
    queue = admitted_queue(request, caller)
    query = read_query(request, ItemsQuery)
    page = await services.desk.list_items(
        queue, _state(query), None if query.after is UNSET else query.after, query.limit
    )
    return json_answer(item_list(page))


async def pause_queue(services: Services, request: web.Request, caller: Caller) -> web.Response:
    """Stop attempts, durably and for every process; intake goes on."""
    queue = admitted_queue(request, caller)
    refuse_query(request)
    services.intake.queue(queue)
    wish = await read_json(services, request, PauseRequest)
    return json_answer(queue_detail(await services.desk.pause(queue, wish.expires_in_seconds)))


async def resume_queue(services: Services, request: web.Request, caller: Caller) -> web.Response:
    """End a pause; no error when there is none."""
    queue = admitted_queue(request, caller)
    refuse_query(request)
    services.intake.queue(queue)
    await read_json(services, request, ResumeRequest)
    return json_answer(queue_detail(await services.desk.resume(queue)))


def admitted_queue(request: web.Request, caller: Caller) -> str:
    """The queue in the path; raises `QueueNotAllowed` when it is another caller's."""
    queue = request.match_info["queue"]
    caller.check_queue(queue)
    return queue


def _state(query: ItemsQuery) -> State | ShownState | None:
    if query.state is UNSET:
        return None
    # Ended states have one word for both; the stored one finds them through the same index.
    return State(query.state) if query.state in set(State) else ShownState(query.state)

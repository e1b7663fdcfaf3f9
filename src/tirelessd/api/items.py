"""Reading and cancelling items: `/v1/items/{id}`."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from tirelessd.api.answers import json_answer, raw_answer
from tirelessd.api.auth import Caller
from tirelessd.api.query import refuse_query
from tirelessd.api.services import Services
from tirelessd.api.views import item_detail
from tirelessd.core.errors import ItemNotFound
from tirelessd.engine.desk import ItemView

# Stricter than a UUID parser, which takes braces, URNs and digits without dashes: an id has one
# spelling, in logs as in paths.
ITEM_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


async def get_item(services: Services, request: web.Request, caller: Caller) -> web.Response:
    """The item and its history."""
    refuse_query(request)
    return json_answer(item_detail(await find_item(services, item_id(request), caller)))


async def get_payload(services: Services, request: web.Request, caller: Caller) -> web.Response:
    """The payload, byte for byte."""
    wanted = await admitted_id(services, request, caller)
    return raw_answer(await services.desk.payload(wanted))


async def get_result(services: Services, request: web.Request, caller: Caller) -> web.Response:
    """What the handler answered."""
    wanted = await admitted_id(services, request, caller)
    return raw_answer(await services.desk.result(wanted))


async def cancel_item(services: Services, request: web.Request, caller: Caller) -> web.Response:
    """End the item, as long as it is queued."""
    wanted = await admitted_id(services, request, caller)
    return json_answer(item_detail(await services.desk.cancel(wanted)))


async def admitted_id(services: Services, request: web.Request, caller: Caller) -> str:
    """The id in the path; of a caller limited to some queues, after a look at whose it is."""
    refuse_query(request)
    wanted = item_id(request)
    if caller.is_limited:
        await find_item(services, wanted, caller)
    return wanted


async def find_item(services: Services, wanted: str, caller: Caller) -> ItemView:
    """The item; raises `ItemNotFound`, or `QueueNotAllowed` when it is another caller's."""
    view = await services.desk.item(wanted)
    caller.check_queue(view.record.queue)
    return view


def item_id(request: web.Request) -> str:
    """The id in the path; one that cannot be an id belongs to no item."""
    return checked_id(request.match_info["id"])


def checked_id(text: str) -> str:
    """The id as it is stored; raises `ItemNotFound` for text that is no UUID."""
    lower = text.lower()
    if ITEM_ID.fullmatch(lower) is None:
        raise ItemNotFound(text)
    return lower

"""Dead letters: reading them, putting them back, deleting them for good."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from tirelessd.api.answers import json_answer
from tirelessd.api.auth import Caller
from tirelessd.api.body import read_json
from tirelessd.api.headers import trace_context
from tirelessd.api.items import find_item
from tirelessd.api.malformed import UNREADABLE, malformed
from tirelessd.api.query import (
    DeadLettersQuery,
    PurgeQuery,
    QueueFilter,
    ReasonFilter,
    read_query,
    refuse_query,
)
from tirelessd.api.refusals import QueueNotAllowed
from tirelessd.api.services import Services
from tirelessd.api.views import changed_count, item_list
from tirelessd.core.errors import InvalidRequest, ItemNotFound
from tirelessd.core.item import Selection
from tirelessd.engine.desk import BULK_LIMIT

Ids = Annotated[list[UUID], Meta(min_length=1, max_length=BULK_LIMIT)]


class DeadLetterFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dead letters of a queue, of a reason, or of both."""

    queue: QueueFilter | UnsetType = UNSET
    reason: ReasonFilter | UnsetType = UNSET


class RedriveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exactly one of `ids`, `filter` and `all`; a dry run counts and changes nothing."""

    ids: Ids | UnsetType = UNSET
    filter: (
        Annotated[DeadLetterFilter, Meta(extra_json_schema={"minProperties": 1})] | UnsetType
    ) = UNSET
    all: bool = False
    dry_run: bool = False


async def list_dead_letters(
    services: Services, request: web.Request, caller: Caller
) -> web.Response:
    """Dead letters in the order of their death, a page at a time."""
    query = read_query(request, DeadLettersQuery)
    selection = Selection(queue=query.queue or None, reason=query.reason or None)
    _check_filter(selection, caller)
    after = None if query.after is UNSET else query.after
    return json_answer(item_list(await services.desk.list_dead(selection, after, query.limit)))


async def redrive(services: Services, request: web.Request, caller: Caller) -> web.Response:
    """Put dead letters back, due now, with a new generation."""
    refuse_query(request)
    selection, is_dry = selected(await read_json(services, request, RedriveRequest))
    await check_selection(services, selection, caller)
    trace = trace_context(request.headers)
    changed = await services.desk.redrive(selection, dry_run=is_dry, trace=trace)
    return json_answer(changed_count(changed))


async def purge(services: Services, request: web.Request, caller: Caller) -> web.Response:
    """Delete dead letters for good."""
    # In the query, because bodies of DELETE are dropped by proxies and by some clients.
    selection, is_dry = selected(as_redrive(read_query(request, PurgeQuery)))
    await check_selection(services, selection, caller)
    changed = await services.desk.delete_dead(selection, dry_run=is_dry)
    return json_answer(changed_count(changed))


def as_redrive(query: PurgeQuery) -> RedriveRequest:
    """The same wish, from a query instead of a body."""
    try:
        ids = msgspec.convert(query.ids.split(","), Ids) if query.ids else UNSET
    except UNREADABLE as error:
        raise malformed(error, "ids") from None
    is_narrowed = bool(query.queue or query.reason)
    narrowed = DeadLetterFilter(query.queue, query.reason) if is_narrowed else UNSET
    return RedriveRequest(ids, narrowed, query.all, query.dry_run)


def selected(wish: RedriveRequest) -> tuple[Selection, bool]:
    """Which dead letters are meant, and whether only to count them.

    Raises `InvalidRequest` unless exactly one way of naming them was used: nobody means all by
    leaving something out.
    """
    # A type could not say this: msgspec tells shapes of a union apart by a tag, and people should
    # not have to write one.
    ways = [bool(wish.ids), bool(wish.filter), wish.all]
    if ways.count(True) != 1:
        raise InvalidRequest(
            "selection", "name the dead letters by ids, by a filter, or by all=true"
        )
    if wish.ids:
        return Selection(ids=[str(one) for one in wish.ids]), wish.dry_run
    if not wish.filter:
        return Selection(), wish.dry_run
    selection = Selection(queue=wish.filter.queue or None, reason=wish.filter.reason or None)
    if selection == Selection():
        raise InvalidRequest("filter", "needs a queue or a reason")
    return selection, wish.dry_run


async def check_selection(services: Services, selection: Selection, caller: Caller) -> None:
    """Raise `QueueNotAllowed` if the selection reaches beyond the caller's queues."""
    if not caller.is_limited:
        return
    if selection.ids is None:
        _check_filter(selection, caller)
        return
    # One by one, for the answer must not depend on how many of the ids are another's.
    for one in selection.ids:
        try:
            await find_item(services, one, caller)
        except ItemNotFound:
            continue  # what is not stored cannot be changed


def _check_filter(selection: Selection, caller: Caller) -> None:
    if not caller.is_limited:
        return
    if selection.queue is None:
        raise QueueNotAllowed("this token is limited to some queues: name one of them")
    caller.check_queue(selection.queue)

"""Query parameters: each at most once, none unknown, read into one typed value per call."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from tirelessd.api.headers import is_printable_ascii
from tirelessd.api.malformed import UNREADABLE, malformed
from tirelessd.core.errors import InvalidRequest
from tirelessd.core.outcome import DeadReason
from tirelessd.core.queue import NAME_PATTERN

Query = TypeVar("Query", bound=msgspec.Struct)

PAGE_ITEMS: Final = 100
PAGE_MAX_ITEMS: Final = 1_000

Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX_ITEMS, description="The most items to answer with.")]
After = Annotated[
    str, Meta(min_length=1, max_length=512, description="A former page's `next_after`.")
]
QUEUE_PATTERN: Final = f"^{NAME_PATTERN}$"
# To Python a `$` is also before a last line feed, which no queue's name has either.
QueueFilter = Annotated[
    str, Meta(pattern=QUEUE_PATTERN + r"(?!\n)", description="Of this queue only.")
]
StateWord = Literal[
    "queued",
    "leased",
    "ready",
    "scheduled",
    "retrying",
    "running",
    "succeeded",
    "dead",
    "cancelled",
]
ReasonFilter = Annotated[DeadReason, Meta(description="Given up for this reason only.")]
IdList = Annotated[
    str, Meta(min_length=36, description="These items only: their ids, separated by commas.")
]


# Left out is UNSET and never None: read leniently, as text in a query must be, None would also be
# the word "null", which is a queue's good name.


class NoQuery(msgspec.Struct, frozen=True):
    """A call without parameters."""


class ItemsQuery(msgspec.Struct, frozen=True):
    """Which items of a queue, by stored or shown state, and which page of them."""

    state: StateWord | UnsetType = UNSET
    after: After | UnsetType = UNSET
    limit: Limit = PAGE_ITEMS


class DeadLettersQuery(msgspec.Struct, frozen=True):
    """Which dead letters, and which page of them."""

    queue: QueueFilter | UnsetType = UNSET
    reason: ReasonFilter | UnsetType = UNSET
    after: After | UnsetType = UNSET
    limit: Limit = PAGE_ITEMS


class PurgeQuery(msgspec.Struct, frozen=True):
    """Which dead letters to delete: ids, or a queue and reason, or all of them."""

    ids: IdList | UnsetType = UNSET
    queue: QueueFilter | UnsetType = UNSET
    reason: ReasonFilter | UnsetType = UNSET
    all: bool = False
    dry_run: bool = False


def read_query(request: web.Request, shape: type[Query]) -> Query:
    """The parameters as one value; raises `InvalidRequest` naming the one that is wrong."""
    query = request.query
    if not query:
        return shape()
    known = {field.name for field in msgspec.structs.fields(shape)}
    for name, value in query.items():
        if name not in known:
            raise InvalidRequest(name, "is no parameter of this call")
        if len(query.getall(name)) > 1:
            raise InvalidRequest(name, "came more than once")
        if not is_printable_ascii(value):
            raise InvalidRequest(name, "must be printable ASCII")
    try:
        # Leniently, because everything in a query is text: "10" is a number here, "true" a truth.
        return msgspec.convert(dict(query), shape, strict=False)
    except UNREADABLE as error:
        raise malformed(error, "query") from None


def refuse_query(request: web.Request) -> None:
    """Refuse parameters on a call that has none."""
    if request.query_string:
        read_query(request, NoQuery)

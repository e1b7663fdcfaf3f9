"""Where a list goes on: the places that `next_after` stands for."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Final, TypeVar

import msgspec

from tirelessd.core.errors import InvalidRequest

# What both stores can look for: anybody can write a cursor of their own.
ROW_MAX: Final = 2**63 - 1
ID: Final = r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?\Z"


class Listed(msgspec.Struct, frozen=True, array_like=True, tag="items"):
    """Where a list of items goes on: after this row."""

    row: Annotated[int, msgspec.Meta(ge=0, le=ROW_MAX)] = 0


class ListedDead(msgspec.Struct, frozen=True, array_like=True, tag="dead"):
    """Where a list of dead letters goes on: after the one that died then."""

    died_at: float = -1.0
    id: Annotated[str, msgspec.Meta(pattern=ID)] = ""


Cursor = TypeVar("Cursor", Listed, ListedDead)


def cursor(after: str | None, kind: type[Cursor]) -> Cursor:
    """What `next_after` of a page stands for; raises `InvalidRequest` for any other text."""
    if after is None:
        return kind()
    try:
        text = urlsafe_b64decode(after.encode("ascii") + b"==")
        return msgspec.json.decode(text, type=kind)
    except ValueError:  # so are the errors of msgspec, of base64 and of the encoding
        raise InvalidRequest("after", "is no page's next_after of this list") from None


def encode(place: Listed | ListedDead) -> str:
    """The text for a page's `next_after`."""
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")

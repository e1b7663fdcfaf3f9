"""What is wrong with a document is told by the name of the field, and in one line."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirelessd.api.batch import Envelope, read_line
from tirelessd.api.dead_letters import RedriveRequest, selected
from tirelessd.api.malformed import UNREADABLE, malformed
from tirelessd.core.errors import InvalidRequest
from tirelessd.core.item import Selection
from tirelessd.engine.intake import Submission

ENVELOPE = Envelope(1_800_000_000.0, {})


class Leaf(msgspec.Struct, forbid_unknown_fields=True):
    """A field below a field."""

    size: Annotated[int, msgspec.Meta(ge=1)]


class Tree(msgspec.Struct, forbid_unknown_fields=True):
    """A document with fields at several depths."""

    name: str
    leaf: Leaf | None = None
    leaves: list[Leaf] = []


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (b'{"name": 1}', "name"),
        (b'{"name": "x", "leaf": {"size": 0}}', "leaf"),
        (b'{"name": "x", "leaves": [{"size": 1}, {"size": 0}]}', "leaves"),
        (b"{}", "body"),
        (b'{"name": "x", "nme": 1}', "body"),
        (b"[]", "body"),
        (b"nonsense", "body"),
        (b'{"name": "\xff"}', "body"),
        (b"[" * 100_000, "body"),
    ],
)
def test_field_at_fault_is_named(document: bytes, field: str) -> None:
    """The outermost one, which is what a caller looks for; the document if it is none."""
    with pytest.raises(UNREADABLE) as raised:
        msgspec.json.decode(document, type=Tree)

    refusal = malformed(raised.value, "body")

    assert refusal.field == field
    assert "\n" not in refusal.message
    assert len(refusal.message) < 200


def test_deep_nesting_is_told_as_such() -> None:
    """Whoever nests a hundred thousand lists learns that this was it."""
    with pytest.raises(RecursionError) as raised:
        msgspec.json.decode(b"[" * 100_000)

    refusal = malformed(raised.value, "line")

    assert refusal.message == "line: is nested too deeply"


@given(st.binary(max_size=200))
def test_any_line_is_read_or_refused(line: bytes) -> None:
    """Whatever stands in a batch, a line becomes a submission or one kind of refusal."""
    read = read_line(line, ENVELOPE)

    assert isinstance(read, Submission | InvalidRequest)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_any_payload_of_a_line_is_kept_to_the_byte(payload: Any) -> None:
    """What stands between the colon and the brace is what is stored."""
    text = msgspec.json.encode(payload)

    read = read_line(b'{"payload":' + text + b"}", ENVELOPE)

    assert isinstance(read, Submission)
    assert read.payload == text


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "ids": st.lists(st.uuids().map(str), min_size=1, max_size=3),
            "filter": st.sampled_from(
                [{"queue": "work"}, {"reason": "expired"}, {"queue": "work", "reason": "expired"}]
            ),
            "all": st.booleans(),
            "dry_run": st.booleans(),
        },
    )
)
def test_selection_means_all_only_when_all_was_said(wish: dict[str, Any]) -> None:
    """Of every way to write a wish, only `all: true` alone selects everything."""
    request = msgspec.convert(wish, RedriveRequest)
    ways = [bool(wish.get(way)) for way in ("ids", "filter", "all")]

    if ways.count(True) != 1:
        with pytest.raises(InvalidRequest):
            selected(request)
        return
    selection, is_dry = selected(request)

    assert (selection == Selection()) == bool(wish.get("all"))
    assert is_dry == wish.get("dry_run", False)

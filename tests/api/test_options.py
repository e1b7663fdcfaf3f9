"""What a submitter may ask for, in headers and in lines: the same grammar, the same bounds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from tests.api.edge import Edge, Wire, post, problem_in
from tirelessd.api.malformed import UNREADABLE
from tirelessd.api.options import HEADER_OPTIONS, BatchLine, header_options, line_options
from tirelessd.core.errors import InvalidRequest
from tirelessd.engine.intake import Options

ITEMS = "/v1/queues/work/items"
NOW = 1_800_000_000.0

NUMBERS = [
    "",
    "x",
    "nan",
    "NaN",
    "inf",
    "-Infinity",
    "1e999",
    "-1",
    "+1",
    "1_0",
    "0x10",
    "01",
    "1.",
    ".5",
    "1,5",
    "1 2",
    "\u0661",
    "null",
    "true",
    '"1"',
    "[]",
    "1e",
    "9" * 400,
]
MALFORMED = {
    "Idempotency-Key": ["", "a b", "ä", "\udcff", "x" * 256, "a\tb"],
    "Tirelessd-Delay": [*NUMBERS, "315360001"],
    "Tirelessd-Deadline": [*NUMBERS, "0", "315360001"],
    "Tirelessd-Priority": [*NUMBERS, "10", "1.5", "4.0", "18446744073709551616"],
    "Tirelessd-Not-Before": [
        "", "x", "2031-01-01", "2031-01-01T00:00:00", "2031-13-01T00:00:00Z",
        "2031-01-01T25:00:00Z", "2031-01-01T00:00:00+25:00", "1800000000", "now",
        "9999-12-31T23:59:59Z", "\udcff",
    ],
}  # fmt: skip


def fields(**named: str) -> CIMultiDictProxy[str]:
    """Request headers."""
    pairs = ((name.replace("_", "-"), text) for name, text in named.items())
    return CIMultiDictProxy(CIMultiDict(pairs))


def read_line(**named: Any) -> Options:
    """The options of a batch's line, read as the batch reads it."""
    text = msgspec.json.encode({"payload": None, **named})
    return line_options(msgspec.json.decode(text, type=BatchLine), NOW)


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_option_is_refused_by_name(wire: Wire, name: str) -> None:
    """400 names the header; nothing is stored, and the connection goes on."""
    refused = {}

    for text in MALFORMED[name]:
        answer = await wire.send(post(b"x", f"{name}: {text}")).answer()
        refused[text] = (answer.status, answer.problem["code"], answer.problem["field"])

    assert refused == dict.fromkeys(MALFORMED[name], (400, "invalid_request", name))
    assert (await wire.send(post(b"x")).answer()).status == 202


@pytest.mark.parametrize("name", HEADER_OPTIONS)
async def test_option_that_came_twice_is_refused(wire: Wire, name: str) -> None:
    """Nobody has to guess which of the two was meant."""
    answer = await wire.send(post(b"x", f"{name}: 1", f"{name.lower()}: 1")).answer()

    assert (answer.status, answer.problem["field"]) == (400, name)


@pytest.mark.parametrize("name", ["Tirelessd-Delya", "tirelessd-", "TIRELESSD-Max-Attempts"])
async def test_unknown_option_is_refused_by_name(edge: Edge, name: str) -> None:
    """A misspelt option is an error, not a wish that nobody hears."""
    response = await edge.client.post(ITEMS, data=b"x", headers={name: "1"})

    problem = await problem_in(response)
    assert (response.status, problem["field"]) == (400, name)
    assert "Tirelessd-Delay" in problem["detail"]


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ((f"Content-Type: {'x' * 256}",), "Content-Type"),
        (("Content-Type: \udcff",), "Content-Type"),
        (("Content-Type: tëxt",), "Content-Type"),
        (("X-Tenant: \udcff",), "x-tenant"),
        ((f"X-Tenant: {'x' * 5_000}",) * 2, "x-tenant"),
    ],
)
async def test_header_that_cannot_be_kept_is_refused(
    wire: Wire, headers: tuple[str, ...], text: str
) -> None:
    """What is stored must be fit to be shown and sent on."""
    answer = await wire.send(post(b"x", *headers)).answer()

    assert (answer.status, answer.problem["field"]) == (400, text)


@pytest.mark.parametrize(
    ("named", "options"),
    [
        ({}, Options()),
        ({"Idempotency_Key": "!~" + "x" * 253}, Options(key="!~" + "x" * 253)),
        ({"Tirelessd_Delay": "0"}, Options()),
        ({"Tirelessd_Delay": "1.5e2"}, Options(delay_seconds=150.0)),
        ({"Tirelessd_Delay": "315360000"}, Options(delay_seconds=315_360_000.0)),
        ({"Tirelessd_Deadline": "0.001"}, Options(deadline_seconds=0.001)),
        ({"Tirelessd_Priority": "0"}, Options(priority=0)),
        ({"Tirelessd_Priority": "9"}, Options(priority=9)),
        ({"Tirelessd_Not_Before": "2027-01-15T08:00:00Z"}, Options(not_before_at=NOW)),
        ({"Tirelessd_Not_Before": "2027-01-15T10:00:00+02:00"}, Options(not_before_at=NOW)),
        ({"Tirelessd_Not_Before": "1999-01-01T00:00:00Z"}, Options(not_before_at=915_148_800.0)),
        ({"Accept": "x", "X_Tirelessd": "1", "Tirelessdx": "1"}, Options()),
    ],
)
def test_options_are_read_from_headers(named: dict[str, str], options: Options) -> None:
    """The bounds themselves are allowed; the past is as good as now."""
    read = header_options(fields(**named), NOW)

    assert read == options


@pytest.mark.parametrize(
    "named",
    [
        {"idempotency_key": ""},
        {"idempotency_key": "a b"},
        {"idempotency_key": "ä"},
        {"idempotency_key": "x" * 256},
        {"idempotency_key": 1},
        {"delay_seconds": -1},
        {"delay_seconds": "1"},
        {"delay_seconds": 315_360_001},
        {"delay_seconds": True},
        {"deadline_seconds": 0},
        {"priority": 10},
        {"priority": 1.5},
        {"priority": True},
        {"not_before": 1_800_000_000},
        {"not_before": "2031-01-01"},
        {"not_before": "9999-12-31T23:59:59Z"},
        {"Priority": 1},
        {"content_type": "a/b"},
    ],
)
def test_malformed_option_of_a_line_is_refused(named: dict[str, Any]) -> None:
    """Lines have the bounds that headers have, and no fields besides."""
    with pytest.raises((InvalidRequest, *UNREADABLE)):
        read_line(**named)


@given(
    delay=st.floats(0, 315_360_000),
    deadline=st.floats(0, 315_360_000, exclude_min=True),
    priority=st.integers(0, 9),
    key=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255),
)
def test_headers_and_lines_read_alike(
    delay: float, deadline: float, priority: int, key: str
) -> None:
    """The same wish in either place is the same options."""
    in_headers = header_options(
        fields(
            Idempotency_Key=key,
            Tirelessd_Delay=repr(delay),
            Tirelessd_Deadline=repr(deadline),
            Tirelessd_Priority=str(priority),
        ),
        NOW,
    )

    in_line = read_line(
        idempotency_key=key, delay_seconds=delay, deadline_seconds=deadline, priority=priority
    )

    assert in_headers == in_line == Options(delay, None, priority, deadline, key)


@given(st.dictionaries(st.sampled_from([*HEADER_OPTIONS, "Tirelessd-X", "traceparent"]), st.text()))
def test_any_text_is_read_or_refused(named: dict[str, str]) -> None:
    """Whatever stands in a header, the answer is options or one kind of error."""
    headers = CIMultiDictProxy(CIMultiDict(named))

    outcome: object
    try:
        outcome = header_options(headers, NOW)
    except InvalidRequest as refusal:
        outcome = refusal.field in named

    assert isinstance(outcome, Options) or outcome is True

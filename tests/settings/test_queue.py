"""The knobs of a queue: names, handlers, retry, retention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.settings.documents import document, problems, with_queue
from tirelessd.core.queue import QueueConfig, Retention, RetryPolicy, Slo
from tirelessd.settings import HttpHandlerSettings, parse


def http(**changes: Any) -> dict[str, Any]:
    """A configuration whose one queue has an http handler with these settings."""
    return with_queue(handler={"type": "http", "url": "http://models/predict", **changes})


@pytest.mark.parametrize("name", ["q", "7", "predictions-v2", "shop.images", "a_b", "a" * 63])
def test_queue_name_is_taken(name: str) -> None:
    """Lower-case letters, digits, dashes, dots and underscores make a name."""
    lines = problems(document(queues={name: {"handler": {"type": "echo"}}}))

    assert lines == []


@pytest.mark.parametrize("name", ["", "_q", ".", "-q", "Q", "a b", "a/b", "ü", "a" * 64, "q\n"])
def test_other_queue_name_is_refused(name: str) -> None:
    """A name that would not fit a URL or a label is refused."""
    lines = problems(document(queues={name: {"handler": {"type": "echo"}}}))

    assert len(lines) == 1
    assert "must be 1 to 63 lower-case letters, digits" in lines[0]


def test_every_value_reaches_the_layers_below() -> None:
    """What is configured for a queue is what its config holds, knob by knob."""
    retry = {
        "max_attempts": 2,
        "initial_seconds": 3.0,
        "cap_seconds": 4.0,
        "multiplier": 5.0,
        "floor_seconds": 0.6,
        "deadline_seconds": 7.0,
        "retry_after_cap_seconds": 8.0,
        "max_lost_leases": 9,
        "retry_on": [404],
        "give_up_on": ["ValueError"],
    }
    retention = {
        "succeeded_seconds": 1.0,
        "cancelled_seconds": 2.0,
        "dead_seconds": 3.0,
        "items": 4,
    }
    handler = {
        "type": "python",
        "function": "m:f",
        "attempt_timeout_seconds": 11.0,
        "forward_headers": ["X-Tenant"],
    }

    settings = parse(
        with_queue(
            handler=handler,
            slots=12,
            lease_seconds=13.0,
            retry=retry,
            capacity_items=14,
            idempotency_seconds=15.0,
            retention=retention,
            slo={"wait_seconds": 1, "end_to_end_seconds": 2, "objective": 0.9},
        )
    )

    assert settings.queue_configs == (
        QueueConfig(
            name="q",
            handler_type="python",
            slots=12,
            lease_seconds=13.0,
            attempt_timeout_seconds=11.0,
            retry=RetryPolicy(2, 3.0, 4.0, 5.0, 0.6, 7.0, 8.0, 9, (404,), ("ValueError",)),
            capacity_items=14,
            idempotency_seconds=15.0,
            retention=Retention(1.0, 2.0, 3.0, 4),
            forward_headers=("x-tenant",),
            slo=Slo(1.0, 2.0, 0.9),
        ),
    )


@pytest.mark.parametrize(
    ("retry", "line"),
    [
        (
            {"floor_seconds": 2},
            "initial_seconds: must be at least floor_seconds, which is 2 (got 1)",
        ),
        (
            {"initial_seconds": 700},
            "cap_seconds: must be at least initial_seconds, which is 700 (got 600)",
        ),
        (
            {"deadline_seconds": 0.1},
            (
                "deadline_seconds: must be more than floor_seconds,"
                " or nothing is ever tried again (got 0.1)"
            ),
        ),
        ({"floor_seconds": 0}, "floor_seconds: must be more than 0 (got 0)"),
        ({"multiplier": 0.5}, "multiplier: must be at least 1 (got 0.5)"),
        ({"max_attempts": 0}, "max_attempts: must be at least 1 (got 0)"),
        ({"retry_on": [99]}, "retry_on[0]: must be a status from 100 to 599 or the name of an"),
        ({"give_up_on": [True]}, "give_up_on[0]: must be a status from 100 to 599 or the name"),
        ({"retry_on": ["not a name"]}, "retry_on[0]: must be a status from 100 to 599 or the"),
        ({"retry_on": 404}, "retry_on: must be a list (got 404)"),
    ],
)
def test_retry_without_sense_is_refused(retry: dict[str, Any], line: str) -> None:
    """Waits grow from floor to cap, and the deadline leaves room for one."""
    lines = problems(with_queue(retry=retry))

    assert len(lines) == 1
    assert lines[0].startswith(f"queues.q.retry.{line}")


def test_all_equal_waits_are_allowed() -> None:
    """A constant wait is floor, initial and cap at one value."""
    retry = {"floor_seconds": 5, "initial_seconds": 5, "cap_seconds": 5}

    lines = problems(with_queue(retry=retry))

    assert lines == []


def test_lease_and_attempt_timeout_are_independent() -> None:
    """A lease is renewed while an attempt runs, so either may be the longer."""
    handler = {"type": "echo", "attempt_timeout_seconds": 3_600}

    lines = problems(with_queue(handler=handler, lease_seconds=1))

    assert lines == []


def test_wait_target_fits_into_the_whole() -> None:
    """An item cannot be promised to end before it was promised a slot."""
    lines = problems(with_queue(slo={"wait_seconds": 10, "end_to_end_seconds": 5}))

    assert lines == [
        (
            "queues.q.slo.end_to_end_seconds: must not be less than wait_seconds:"
            " an item waits before it ends"
        )
    ]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("models/predict", "must be an absolute http:// or https:// URL"),
        ("ftp://models/", "must be an absolute http:// or https:// URL"),
        ("http://", "must be an absolute http:// or https:// URL: its host is none"),
        ("http://models\n/", "must be an absolute http:// or https:// URL"),
        ("http://models:0/", "must have a port from 1 to 65535"),
        ("http://127.1/", "must have its IP address written in full: 192.0.2.1 or [2001:db8::1]"),
        ("http://mod els/", "must be a URL without spaces and without a fragment"),
        ("http://models/#part", "must be a URL without spaces and without a fragment"),
        (
            "http://user:s3cret@models/",
            "must not carry credentials: put them into headers.authorization",
        ),
    ],
)
def test_other_url_is_refused(url: str, message: str) -> None:
    """An upstream's URL is absolute, http or https, and holds no credentials."""
    lines = problems(http(url=url))

    assert lines == [f"queues.q.handler.url: {message}"]


@pytest.mark.parametrize(
    "name",
    ["Host", "content-length", "Transfer-Encoding", "connection", "te", "proxy-authorization"],
)
@pytest.mark.parametrize("setting", ["forward_headers", "headers"])
def test_framing_header_is_refused(setting: str, name: str) -> None:
    """No header that says where a body ends, or belongs to a connection, can be configured."""
    value = [name] if setting == "forward_headers" else {name: "x"}

    (line,) = problems(http(**{setting: value}))

    assert line.startswith(f"queues.q.handler.{setting}")
    assert f"must not name {name.lower()}" in line


@pytest.mark.parametrize("name", ["idempotency-key", "Tirelessd-Attempt", "traceparent"])
def test_own_header_is_refused(name: str) -> None:
    """Headers that the daemon sets are not configured."""
    (line,) = problems(http(forward_headers=[name]))

    assert f"must not name {name.lower()}" in line


@pytest.mark.parametrize("name", ["authorization", "Cookie"])
def test_callers_credentials_stay_here(name: str) -> None:
    """A caller's credentials are not forwarded; an upstream's own may be configured."""
    (line,) = problems(http(forward_headers=[name]))

    assert line.endswith("a caller's credentials are for tirelessd alone")
    assert problems(http(headers={name: "Bearer s3cret"})) == []


@pytest.mark.parametrize("value", ["a\nb", "a\r", "a\0", " a", "a ", "\ud800"])
def test_header_value_is_one_line(value: str) -> None:
    """What could not stand in a header, or would end it, is refused without repeating it."""
    lines = problems(http(headers={"x-key": value}))

    assert lines == [
        (
            "queues.q.handler.headers.x-key:"
            " must be one line without control characters or space at its ends"
        )
    ]


def test_header_name_is_a_token() -> None:
    """A header's name has no spaces or colons."""
    lines = problems(http(headers={"x key:": "v"}))

    assert lines == ["queues.q.handler.headers.x key:: must be a header name"]


def test_header_value_comes_from_a_file(tmp_path: Path) -> None:
    """A secret may stand in a file of its own, its last line end left out."""
    secret = tmp_path / "key"
    secret.write_bytes(b"Bearer s3cret\r\n")

    settings = parse(http(headers={"Authorization": {"file": str(secret)}}))

    handler = settings.queues["q"].handler
    assert isinstance(handler, HttpHandlerSettings)
    assert handler.headers["authorization"].get_secret_value() == "Bearer s3cret"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff", "is not UTF-8 text"),
        (b"x" * 65_537, "is larger than 65536 bytes"),
    ],
)
def test_unfit_secret_file_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    """A secret's file that cannot be used is named, its content is not."""
    secret = tmp_path / "key"
    if content is not None:
        secret.write_bytes(content)

    lines = problems(http(headers={"x-key": {"file": str(secret)}}))

    assert lines == [f"queues.q.handler.headers.x-key: its file '{secret}' {message}"]


@pytest.mark.parametrize(
    "function", ["m:f", "shop.images:make_thumbnail", "shop.images:Maker.make"]
)
def test_function_is_taken(function: str) -> None:
    """A module's path, a colon, a function's name."""
    lines = problems(with_queue(handler={"type": "python", "function": function}))

    assert lines == []


@pytest.mark.parametrize("function", ["", "f", "m.f", "m:", ":f", "m:f()", "m/x:f", "a b:f", "1:f"])
def test_other_function_is_refused(function: str) -> None:
    """Anything else is refused before it is imported."""
    lines = problems(with_queue(handler={"type": "python", "function": function}))

    assert lines == ["queues.q.handler.function: must be package.module:function"]


def test_handler_knows_only_its_own_settings() -> None:
    """A setting of another handler's type is unknown, and those of this one are named."""
    lines = problems(with_queue(handler={"type": "echo", "url": "http://models/"}))

    assert lines == [
        (
            "queues.q.handler.url: unknown setting;"
            " known here: type, attempt_timeout_seconds, forward_headers, forward_baggage"
        )
    ]


@given(
    waits=st.lists(st.floats(0.001, 1e6), min_size=3, max_size=3).map(sorted),
    deadline=st.floats(1e6, 3e6),
)
def test_rising_waits_are_always_taken(waits: list[float], deadline: float) -> None:
    """Any floor <= initial <= cap below the deadline is a policy."""
    floor, initial, cap = waits
    retry = {
        "floor_seconds": floor,
        "initial_seconds": initial,
        "cap_seconds": cap,
        "deadline_seconds": deadline + 1,
    }

    settings = parse(with_queue(retry=retry))

    policy = settings.queue_configs[0].retry
    assert 0 < policy.floor_seconds <= policy.initial_seconds <= policy.cap_seconds

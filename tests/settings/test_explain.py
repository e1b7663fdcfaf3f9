"""Every kind of bad value becomes one line that names the setting and never shows a secret."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.settings.documents import document, problems, token, with_queue
from tirelessd.settings import Settings, shape

SECRET = "s3cret-s3cret-s3cret"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"drain_second": 1}, "drain_second: unknown setting; did you mean drain_seconds?"),
        (
            {"colour": "blue"},
            (
                "colour: unknown setting; known here: store, store_postgresql, role, api, ops,"
                " pre_drain_seconds, drain_seconds, log, tracing, metrics, canary, limits, auth,"
                " queues"
            ),
        ),
        ({"api": {"prot": 1}}, "api.prot: unknown setting; did you mean port?"),
        ({"api": 3}, "api: must be a mapping (got 3)"),
        ({"api": None}, "api: must be a mapping (got nothing)"),
        ({"api": {"port": "8080"}}, "api.port: must be a whole number (got text)"),
        ({"api": {"port": 1.5}}, "api.port: must be a whole number (got 1.5)"),
        ({"api": {"port": True}}, "api.port: must be a whole number (got true)"),
        ({"api": {"port": 65_536}}, "api.port: must be at most 65535 (got 65536)"),
        ({"api": {"port": -1}}, "api.port: must be at least 0 (got -1)"),
        ({"api": {"port": 10**400}}, "api.port: must be at most 65535 (got a number)"),
        ({"api": {"host": 3}}, "api.host: must be text"),
        ({"api": {"host": "a b"}}, "api.host: must be an IP address or a host name"),
        ({"drain_seconds": "30"}, "drain_seconds: must be a number (got text)"),
        ({"drain_seconds": float("inf")}, "drain_seconds: must be a finite number"),
        ({"drain_seconds": float("nan")}, "drain_seconds: must be a finite number"),
        ({"drain_seconds": [1]}, "drain_seconds: must be a number (got a list)"),
        (
            {"log": {"level": "verbose"}},
            "log.level: must be 'debug', 'info', 'warning' or 'error' (got 'verbose')",
        ),
        ({"log": {"format": 3}}, "log.format: must be 'auto', 'console' or 'json' (got 3)"),
        ({"limits": {"body_bytes": 0}}, "limits.body_bytes: must be at least 1 (got 0)"),
        ({"auth": "nobody"}, "auth: must be 'none' (got 'nobody')"),
        ({"auth": 3}, "auth: must be a mapping (got 3)"),
        ({"auth": {"token": []}}, "auth.token: unknown setting; did you mean tokens?"),
        ({"auth": {"tokens": SECRET}}, "auth.tokens: must be a list (got text)"),
        ({"auth": {"tokens": [SECRET]}}, "auth.tokens[0]: must be a mapping (got text)"),
        (
            {"auth": {"tokens": [token(sha256=SECRET)]}},
            "auth.tokens[0].sha256: must be the 64 hexadecimal digits of a SHA-256",
        ),
        (
            {"auth": {"tokens": [token(sha256=123_456)]}},
            "auth.tokens[0].sha256: must be text",
        ),
        (
            {"auth": {"tokens": [token(sha256={"path": "x"})]}},
            "auth.tokens[0].sha256: must be text, or {file: /path/to/a/file}",
        ),
        (
            {"auth": {"tokens": [token(sha265=SECRET)]}},
            "auth.tokens[0].sha265: unknown setting; did you mean sha256?",
        ),
        ({"auth": {"tokens": [token(scopes=[])]}}, "auth.tokens[0].scopes: must not be empty"),
        (
            {"auth": {"tokens": [token(scopes=["write"])]}},
            "auth.tokens[0].scopes[0]: must be 'submit', 'read' or 'operate' (got 'write')",
        ),
        (
            {"auth": {"tokens": [token(name="a b")]}},
            "auth.tokens[0].name: must be 1 to 63 letters, digits, '.', '_' or '-', no sign first",
        ),
        ({"queues": {}}, "queues: must not be empty"),
        ({"queues": ["q"]}, "queues: must be a mapping (got a list)"),
        ({"queues": {"q": None}}, "queues.q: must be a mapping (got nothing)"),
        ({"queues": {"q": {}}}, "queues.q.handler: is required"),
        ({"queues": {"q": {"handler": {}}}}, "queues.q.handler.type: is required"),
        ({"queues": {"q": {"handler": "echo"}}}, "queues.q.handler: must be a mapping (got text)"),
        (
            {"queues": {"q": {"handler": {"type": "htp"}}}},
            "queues.q.handler.type: must be one of 'http', 'python', 'echo' (got 'htp')",
        ),
        ({"queues": {"q": {"handler": {"type": "http"}}}}, "queues.q.handler.url: is required"),
        ({"store": {"file": "no/such/file"}}, "store: its file 'no/such/file' cannot be read:"),
    ],
)
def test_bad_value_is_told_in_one_line(values: dict[str, Any], line: str) -> None:
    """The line has the dotted path, what is asked for, and what was given if that is harmless."""
    lines = problems(document(**values))

    assert len(lines) == 1
    assert lines[0].startswith(line)
    assert SECRET not in lines[0]


def test_queue_setting_is_told_with_its_queue() -> None:
    """A bad value of one queue names that queue."""
    lines = problems(with_queue(slots=0))

    assert lines == ["queues.q.slots: must be at least 1 (got 0)"]


def test_missing_settings_are_named() -> None:
    """An empty configuration lacks its store and its queues."""
    lines = problems({})

    assert lines == ["store: is required", "queues: is required"]


def test_key_with_a_line_end_stays_on_one_line() -> None:
    """Whatever a key holds, the problem is one bounded line."""
    (line,) = problems(document(**{"a\nb" + "x" * 5_000: 1}))

    assert line.startswith("a\\nbxxx")
    assert len(line) <= 1_000


def test_misspelled_setting_comes_before_the_missing_one() -> None:
    """The typo is the first line, for it explains the second."""
    values = document()
    values["stroe"] = values.pop("store")

    lines = problems(values)

    assert lines == ["stroe: unknown setting; did you mean store?", "store: is required"]


def paths(kind: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every setting's path, with an entry `0` in lists and an entry `q` in mappings."""
    inner = shape.entry(kind)
    if inner is not None:
        return paths(inner, (*path, "q" if shape.is_mapping(kind) else "0"))
    below = shape.fields(kind)
    return [deeper for name, each in below.items() for deeper in paths(each, (*path, name))] or [
        path
    ]


def placed(path: tuple[str, ...], value: Any) -> Any:
    """A document with the value at the path."""
    for step in reversed(path):
        value = [value] if step == "0" else {step: value}
    return value


@given(
    path=st.sampled_from(paths(Settings)),
    value=st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.just(SECRET),
        st.lists(st.just(SECRET), max_size=2),
        st.dictionaries(st.sampled_from(["file", "type", "x"]), st.just(SECRET), max_size=2),
    ),
)
def test_any_value_anywhere_is_told_in_lines(path: tuple[str, ...], value: Any) -> None:
    """Whatever stands wherever: no exception but the one, each line names a setting, no secret."""
    lines = problems(placed(path, value))

    assert all("\n" not in line and ": " in line for line in lines)
    assert not any(f"got {SECRET}" in line for line in lines)

"""A handler's function is found by name, and refused at the start when it cannot serve."""

from __future__ import annotations

import functools
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tirelessd.core.errors import Misconfigured, StartError
from tirelessd.engine.handlers.loading import is_async, load_function

SHOP = """
import functools

CONSTANT = 42

async def ship(item, context): ...
def bill(item, context, *, currency="EUR"): ...
def too_few(item): ...
def too_many(item, context, third): ...
def by_name_only(*, item, context): ...
def generate(item, context): yield
async def stream(item, context): yield
whole = functools.partial(too_many, third=3)
streamed = functools.partial(stream)

class Desk:
    def serve(self, item, context): ...
    async def __call__(self, item, context): ...

desk = Desk()
"""


@pytest.fixture(autouse=True)
def python_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python path with a few modules of a shop's on it."""
    package = tmp_path / "shop_under_test"
    package.mkdir()
    sources = {
        "__init__": "",
        "orders": SHOP,
        "needs": "import surely_not_installed",
        "broken": "def ship(item, context) return 1",
        "failing": "raise LookupError('no stock')",
        "leaving": "raise SystemExit(3)",
    }
    for name, source in sources.items():
        (package / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("shop_under_test")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize("name", ["ship", "bill", "whole", "desk", "desk.serve"])
def test_callable_that_takes_item_and_context_is_found(name: str) -> None:
    """Functions, partials, methods and objects that can be called will do."""
    function = load_function(f"shop_under_test.orders:{name}")

    assert callable(function)


PATHS = {
    "orders": "must be written as package.module:function",
    ":ship": "must be written as package.module:function",
    "orders:": "must be written as package.module:function",
    "elsewhere_entirely:ship": "no module 'elsewhere_entirely' on the Python path",
    "shop_under_test.lost:ship": "no module 'shop_under_test.lost' on the Python path",
    "shop_under_test.needs:ship": (
        "importing 'shop_under_test.needs' failed: ModuleNotFoundError: "
        "No module named 'surely_not_installed'"
    ),
    "shop_under_test.broken:ship": "importing 'shop_under_test.broken' failed: SyntaxError: ",
    "shop_under_test.failing:ship": "failed: LookupError: no stock",
    "shop_under_test.leaving:ship": "failed: SystemExit: 3",
    ".orders:ship": "importing '.orders' failed: TypeError: ",
    "shop_under_test.orders:lost": "shop_under_test.orders has no 'lost'",
    "shop_under_test.orders:desk.lost": "has no 'lost'",
    "shop_under_test.orders:CONSTANT": "is a int, no function",
    "shop_under_test.orders:Desk": "is a class, no function",
    "shop_under_test.orders:too_few": "must take two arguments, item and context: ",
    "shop_under_test.orders:too_many": "missing a required argument: 'third'",
    "shop_under_test.orders:by_name_only": "must take two arguments, item and context: ",
    "shop_under_test.orders:generate": "is a generator; it must return its result",
    "shop_under_test.orders:stream": "is a generator; it must return its result",
    "shop_under_test.orders:streamed": "is a generator; it must return its result",
}


@pytest.mark.parametrize(("path", "why"), PATHS.items(), ids=PATHS)
def test_function_that_cannot_serve_stops_the_start(path: str, why: str) -> None:
    """The one line names the function as configured and says what is wrong with it."""
    with pytest.raises(StartError, match=re.escape(why)) as caught:
        load_function(path)

    # What a module's own code raises may pass; what was configured does not.
    is_own_code = "importing" in str(caught.value)
    assert isinstance(caught.value, Misconfigured) is not is_own_code
    assert str(caught.value).startswith(f"handler function {path!r}")
    assert "\n" not in str(caught.value)


def test_function_that_hides_its_arguments_is_taken_at_its_word() -> None:
    """A callable written in C may have no signature; it is found out when it is called."""
    function = load_function("builtins:print")
    unreadable = load_function("builtins:dict.update")

    assert callable(function)
    assert callable(unreadable)


async def coroutine(*_: Any) -> None:
    """An async function."""


@pytest.mark.parametrize(
    "function",
    [
        coroutine,
        functools.partial(coroutine, 1),
        functools.partial(functools.partial(coroutine, 1), 2),
    ],
    ids=["itself", "partial", "partial of a partial"],
)
def test_async_function_shows_through_partials(function: Any) -> None:
    """An `async def` runs in the event loop, also behind a partial."""
    told = is_async(function)

    assert told


def test_object_with_an_async_call_is_async() -> None:
    """An object whose `__call__` is an `async def` runs in the event loop."""
    desk = load_function("shop_under_test.orders:desk")

    assert is_async(desk)


@pytest.mark.parametrize(
    "function",
    [lambda *_: coroutine(), print, functools.partial(print)],
    ids=["lambda", "builtin", "partial of a builtin"],
)
def test_plain_function_is_not_async(function: Any) -> None:
    """What merely returns a coroutine is a plain function, and gets a thread."""
    told = is_async(function)

    assert not told

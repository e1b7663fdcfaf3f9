"""A function that works with several tasks: what their errors, raised together, stand for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from types import ModuleType

import pytest

from tests.engine.handlers.upstream import a_context, an_item
from tirelessd import Context, GiveUp, Item, Retry
from tirelessd.core.errors import AttemptError
from tirelessd.core.outcome import Reason
from tirelessd.engine.handlers.python import PythonHandler

SOON, LATE = Retry("busy", after_seconds=1.0), Retry("busy", after_seconds=60.0)
NEVER, LOST = GiveUp("not an image"), ValueError("no such tile")


async def failing(error: Exception) -> None:
    """A part of the work that fails."""
    raise error


async def raised_for(errors: Sequence[Exception], monkeypatch: pytest.MonkeyPatch) -> Exception:
    """What an attempt raises whose function has a task for each of these errors."""

    async def handle(_item: Item, _context: Context) -> None:
        async with asyncio.TaskGroup() as outer, asyncio.TaskGroup() as inner:
            parts: list[Coroutine[None, None, None]] = [failing(error) for error in errors]
            for group, part in zip((inner, inner, outer), parts, strict=False):
                group.create_task(part)

    module = ModuleType("tiles_under_test")
    vars(module)["handle"] = handle
    monkeypatch.setitem(sys.modules, module.__name__, module)
    handler = PythonHandler("tiles_under_test:handle", 1)
    await handler.open()
    try:
        await handler.attempt(an_item(), a_context())
    except Exception as error:  # noqa: BLE001  (it is what is looked at)
        return error
    finally:
        await handler.close()
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("errors", "meant"),
    [
        ([NEVER], NEVER),
        ([SOON, NEVER, LATE], NEVER),
        ([SOON, LATE, LOST], LATE),
        ([LOST], LOST),
        ([LOST, ValueError("nor this one")], LOST),
    ],
    ids=["give up", "give up before retry", "the longest wait", "any other", "one type"],
)
async def test_one_error_decides_for_all(
    errors: Sequence[Exception], meant: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To give up comes first, then to retry as late as anybody asks, then what all agree on."""
    assert await raised_for(errors, monkeypatch) is meant


async def test_errors_that_do_not_agree_are_all_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The history says why, and not that there was a group."""
    error = await raised_for([LOST, OSError("gone")], monkeypatch)

    assert isinstance(error, AttemptError)
    assert error.reason == Reason.HANDLER
    assert "ValueError: no such tile; OSError: gone" in str(error)

"""A store's verb that fails when a test says so; everything else of the store is real."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.engine.script import House


class FailingVerb:
    """Works until the `first`-th call, and raises the error from then on."""

    def __init__(
        self, verb: Callable[..., Awaitable[Any]], error: Exception, first: int = 1
    ) -> None:
        self.calls = 0
        self._verb = verb
        self._error = error
        self._first = first

    async def __call__(self, *args: Any, **named: Any) -> Any:
        """Work, or fail."""
        self.calls += 1
        if self.calls >= self._first:
            raise self._error
        return await self._verb(*args, **named)


def failing(
    monkeypatch: pytest.MonkeyPatch, house: House, verb: str, error: Exception, first: int = 1
) -> FailingVerb:
    """Let a verb of the house's store fail until the end of the test."""
    double = FailingVerb(getattr(house.store, verb), error, first)
    monkeypatch.setattr(house.store, verb, double)
    return double

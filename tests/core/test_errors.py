"""The tree of errors: drawn in the module's docstring, and true."""

from __future__ import annotations

import inspect
import re

import pytest

from tirelessd.core import errors
from tirelessd.core.errors import GiveUp, Rejected, Retry, StoreError, TirelessdError

ALL = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, TirelessdError)
]


def drawn_parents() -> dict[str, str | None]:
    """Each name in the drawing, with the one that it hangs on."""
    drawing = inspect.getdoc(errors) or ""
    path: list[str] = []
    parents: dict[str, str | None] = {}
    for line in drawing.splitlines():
        found = re.match(r"([│├└─ ]*)([A-Z]\w+)", line)
        if found and (parents or found[2] == "TirelessdError"):
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            parents[found[2]] = path[depth - 1] if depth else None
    return parents


def test_drawing_is_the_tree() -> None:
    """Every error is in it, in its place, and nothing else is."""
    parents = {
        kind.__name__: None if kind is TirelessdError else kind.__mro__[1].__name__ for kind in ALL
    }

    assert drawn_parents() == parents


def test_codes_of_refusals_are_stable_words_of_their_own() -> None:
    """Callers tell refusals apart by them."""
    kinds = [kind for kind in ALL if issubclass(kind, Rejected)]

    codes = [kind.code for kind in kinds]

    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)


def test_failures_of_the_store_have_codes_too() -> None:
    """No room is another answer than no store."""
    codes = {kind.__name__: kind.code for kind in ALL if issubclass(kind, StoreError)}

    assert codes["StoreFull"] == "store_full"
    assert codes["CommitUnknown"] == codes["StoreUnavailable"] == "store_unavailable"


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_handler_cannot_ask_for_an_impossible_wait(seconds: float) -> None:
    """The mistake shows where it is made."""
    with pytest.raises(ValueError, match="after_seconds"):
        Retry(after_seconds=seconds)


def test_handlers_words_are_kept() -> None:
    """As the detail and as the exception's own text."""
    retry, give_up = Retry("model is loading", after_seconds=2), GiveUp("no such model")

    assert (retry.reason, retry.detail, str(retry)) == ("handler", "model is loading", retry.detail)
    assert retry.retry_after_seconds == 2.0
    assert (give_up.reason, str(give_up)) == ("permanent", "no such model")

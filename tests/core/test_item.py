"""What an item shows of itself."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from tirelessd.core.item import Claim, Item, Lease, ShownState, State, shown_state


def make_item(payload: bytes = b"{}") -> Item:
    """An item as a handler gets it."""
    return Item("id", "work", payload, "application/json", {"x-tenant": "a"}, 4, 1_800_000_000.5)


@pytest.mark.parametrize(
    ("state", "is_due", "attempts", "shown"),
    [
        (State.QUEUED, True, 0, ShownState.READY),
        (State.QUEUED, True, 3, ShownState.READY),
        (State.QUEUED, False, 0, ShownState.SCHEDULED),
        (State.QUEUED, False, 1, ShownState.RETRYING),
        (State.LEASED, True, 1, ShownState.RUNNING),
        (State.SUCCEEDED, True, 1, ShownState.SUCCEEDED),
        (State.DEAD, False, 9, ShownState.DEAD),
        (State.CANCELLED, False, 0, ShownState.CANCELLED),
    ],
)
def test_shown_states(state: State, attempts: int, shown: ShownState, *, is_due: bool) -> None:
    """People are shown why a queued item waits; everything else is shown as it is."""
    assert shown_state(state, is_due=is_due, attempts=attempts) is shown


def test_final_states_are_three() -> None:
    """Only succeeded, dead and cancelled items have ended."""
    assert {state for state in State if state.is_final} == {
        State.SUCCEEDED,
        State.DEAD,
        State.CANCELLED,
    }


def test_handlers_see_aware_instants() -> None:
    """An item tells when it was accepted, in UTC."""
    assert make_item().accepted_at == datetime(2027, 1, 15, 8, 0, 0, 500_000, tzinfo=UTC)


def test_json_is_parsed_on_demand() -> None:
    """The payload stays bytes until a handler wants it parsed."""
    assert make_item(b'{"image": "tom.png"}').json() == {"image": "tom.png"}


@pytest.mark.parametrize("payload", [b"", b"\xff", b"{", b"[" * 100_000])
def test_payload_that_is_no_json_is_a_value_error(payload: bytes) -> None:
    """Whatever the bytes are, a handler gets one kind of exception."""
    with pytest.raises(ValueError, match=r"JSON|truncated|decode|malformed|nested"):
        make_item(payload).json()


def test_values_are_frozen() -> None:
    """What is shared between tasks and threads cannot be changed by any of them."""
    with pytest.raises(AttributeError):
        make_item().payload = b"other"  # type: ignore[misc]


def test_claim_tells_the_time_left() -> None:
    """The deadline counts from the generation's first due time."""
    claim = Claim(
        make_item(), Lease("id", "work", 1, 2), 1, 1, deadline_seconds=60, elapsed_seconds=45
    )

    assert claim.remaining_seconds == 15
    assert msgspec.structs.replace(claim, elapsed_seconds=70).remaining_seconds == -10

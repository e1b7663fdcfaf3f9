"""The closed sets of label values are the core's own words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from tirelessd import store
from tirelessd.core.events import IntakeResult
from tirelessd.core.outcome import Outcome, Reason
from tirelessd.observe import labels
from tirelessd.store.base import Store


def test_every_reason_but_a_drain_can_end_an_item() -> None:
    """Any failure may be the last one; a drain hands the item back and is none."""
    given_up = {reason for outcome, reason in labels.ATTEMPT_PAIRS if outcome is Outcome.GIVE_UP}

    assert given_up == set(Reason) - {Reason.DRAIN}


def test_every_reason_but_a_drain_and_a_word_of_the_handler_can_be_retried() -> None:
    """`GiveUp` is the one failure that no configuration has retried."""
    retried = {reason for outcome, reason in labels.ATTEMPT_PAIRS if outcome is Outcome.RETRY}

    assert retried == set(Reason) - {Reason.DRAIN, Reason.PERMANENT}


def test_a_success_has_no_reason_and_a_release_has_one() -> None:
    """The two outcomes that are no failure have one pair each."""
    others = [
        pair for pair in labels.ATTEMPT_PAIRS if pair[0] in (Outcome.SUCCESS, Outcome.RELEASED)
    ]

    assert others == [(Outcome.SUCCESS, labels.NO_REASON), (Outcome.RELEASED, Reason.DRAIN)]


def test_intake_results_are_the_event_s() -> None:
    """No list is kept twice."""
    assert get_args(IntakeResult) == labels.INTAKE_RESULTS


@pytest.mark.parametrize("verb", sorted(Store.__abstractmethods__ - {"open", "close"}))
def test_every_verb_of_the_store_counts_as_an_operation(verb: str) -> None:
    """A verb that no operation stands for would count as an overflow."""
    assert labels.STORE_VERBS[verb] in labels.STORE_OPERATIONS


REPORTED = {
    verb
    for source in Path(store.__file__).parent.rglob("*.py")
    for verb in re.findall(r'(?:_read\(\s*|\bverb = )"(\w+)"', source.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("verb", sorted(REPORTED))
def test_every_operation_that_a_store_reports_is_known(verb: str) -> None:
    """Also one that is no verb of the contract, as a store's look at which database it is."""
    assert verb in labels.STORE_VERBS

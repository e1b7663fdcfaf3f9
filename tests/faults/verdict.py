"""All invariants at once, each under the name that the fault plan gives it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from tests.faults import check, conduct
from tests.faults.books import Books
from tests.faults.watch import Sample

Check = Callable[[Books], None]

CHECKS: Mapping[str, tuple[Check, ...]] = {
    "I1": (check.check_nothing_is_lost,),
    "I2": (check.check_every_item_ended, check.check_ends_are_true),
    "I3": (check.check_attempts,),
    "I4": (check.check_duplicates,),
    "I5": (check.check_no_phantoms, check.check_payloads),
    "I6": (
        check.check_store_counts,
        check.check_item_counters,
        check.check_attempt_counters,
        check.check_refusal_counters,
    ),
    "I8": (conduct.check_memory, conduct.check_nothing_leaks),
    "I9": (conduct.check_nobody_restarted, conduct.check_alive),
    "I10": (conduct.check_logs, conduct.check_log_volume, conduct.check_refusals),
    "I11": (conduct.check_cap,),
}
"""What every experiment ends with; I7 has figures of its own in each row."""


def check_all(books: Books, without: Collection[str] = ()) -> None:
    """Every check but those left out; the first three are never left out."""
    kept = {"I1", "I2", "I5"} & set(without)
    assert not kept, f"{kept} hold in every experiment"
    for name, checks in CHECKS.items():
        for each in checks:
            if name not in without:
                each(books)


def has_given_back(calm: Sample | None, now: Sample | None) -> bool:
    """Whether a process holds hardly more descriptors and threads than when it was calm."""
    if calm is None or now is None:
        return True
    spare = conduct.SPARE_COUNT
    return now.descriptors - calm.descriptors <= spare and now.threads - calm.threads <= spare

"""Children of a family by a closed set of values, looked up once: an event costs an increment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from tirelessd.observe import labels
from tirelessd.observe.registrar import TellOverflow
from tirelessd.observe.tallies import Family, Series

Child = TypeVar("Child", bound=Series)


class ClosedChildren(dict[str, Child], Generic[Child]):
    """One family's children by its last label, every legal value present from the start.

    `fixed` are the values of the labels before. A value outside the set is a defect somewhere: it
    is counted under `__overflow__`, and told each time that it is looked up.
    """

    def __init__(
        self, family: Family[Child], values: Iterable[str], tell: TellOverflow, *fixed: str
    ) -> None:
        self._family = family
        self._tell = tell
        self._fixed = fixed
        super().__init__({value: family.labels(*fixed, value) for value in values})

    def __missing__(self, value: str) -> Child:
        self._tell(self._family.name, self._family.label_names[-1])
        return self._family.labels(*self._fixed, labels.OVERFLOW)

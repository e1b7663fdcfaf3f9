"""Counters and histograms for one writing thread: an event costs an addition, not a lock.

prometheus_client guards each value by a lock, which made an item's fifteen increments cost 20 µs,
a quarter of what all else about it does; these cost 5. Its registry, metric type and text formats
are used as they are. A child is written in one thread, and may be read in any.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, zip_longest
from typing import Final, Generic, TypeVar

from prometheus_client import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

INFINITY: Final = float("inf")
# From so many on it is cheaper to sort them and look where each bound falls.
MANY: Final = 32


class Series(ABC):
    """A child of a family: what one set of label values has."""

    __slots__ = ()

    @abstractmethod
    def values(self) -> Sequence[float]:
        """What its samples show, in their order, as of now."""

    @abstractmethod
    def exemplars(self) -> Sequence[Exemplar | None]:
        """What its samples point to, in the same order; the last ones may be missing."""

    @abstractmethod
    def heads(self) -> Sequence[tuple[str, dict[str, str]]]:
        """The names and labels of its samples, in the same order; always the same."""

    def samples(self) -> list[Sample]:
        """Its samples."""
        values, exemplars = self.values(), self.exemplars()
        return [
            Sample(name, labels, value, None, exemplar)
            for (name, labels), value, exemplar in zip_longest(self.heads(), values, exemplars)
        ]


class Tally(Series):
    """A count that only grows."""

    __slots__ = ("_exemplar", "_labels", "_name", "value")

    def __init__(self, name: str, labels: dict[str, str]) -> None:
        self.value: float = 0
        self._name = f"{name}_total"
        self._labels = labels
        self._exemplar: Exemplar | None = None

    def inc(self, amount: float = 1, exemplar: Exemplar | None = None) -> None:
        """Add to it; the last exemplar is shown with it."""
        self.value += amount
        if exemplar is not None:
            self._exemplar = exemplar

    def values(self) -> Sequence[float]:
        """The count."""
        return (self.value,)

    def exemplars(self) -> Sequence[Exemplar | None]:
        """The last one."""
        return (self._exemplar,)

    def heads(self) -> Sequence[tuple[str, dict[str, str]]]:
        """The one sample's."""
        return ((self._name, self._labels),)


class Distribution(Series):
    """How many values fell under each bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_labels", "_name", "_sum")

    def __init__(self, name: str, labels: dict[str, str], bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._exemplars: list[Exemplar | None] = [None] * (len(bounds) + 1)
        self._sum = 0.0
        self._name = name
        self._labels = labels

    def observe(self, value: float, exemplar: Exemplar | None = None) -> None:
        """Count a value; one that equals a bound is under it. A bucket shows its last exemplar."""
        self.observe_all((value,))
        if exemplar is not None:
            self.point(value, exemplar)

    def observe_all(self, values: Sequence[float]) -> None:
        """Count values, each like `observe`."""
        bounds, counts = self._bounds, self._counts
        if len(values) < MANY:
            for value in values:
                counts[bisect_left(bounds, value)] += 1
        else:
            ordered, below = sorted(values), 0
            for number, bound in enumerate((*bounds, INFINITY)):
                until = bisect_right(ordered, bound, below)
                counts[number] += until - below
                below = until
        self._sum += sum(values)

    def point(self, value: float, exemplar: Exemplar) -> None:
        """Show the exemplar with the bucket of a value that was counted."""
        self._exemplars[bisect_left(self._bounds, value)] = exemplar

    def values(self) -> Sequence[float]:
        """The buckets, each with all below it, the count and the sum."""
        # Copied at once: in another thread, values may be counted while this adds them up.
        buckets = list(accumulate(self._counts.copy()))
        return [*buckets, buckets[-1], self._sum]

    def exemplars(self) -> Sequence[Exemplar | None]:
        """Those of the buckets."""
        return self._exemplars

    def heads(self) -> Sequence[tuple[str, dict[str, str]]]:
        """Those of the buckets, the count and the sum."""
        bounds = [bound_text(bound) for bound in (*self._bounds, INFINITY)]
        return [
            *((f"{self._name}_bucket", {**self._labels, "le": bound}) for bound in bounds),
            (f"{self._name}_count", self._labels),
            (f"{self._name}_sum", self._labels),
        ]


def bound_text(bound: float) -> str:
    """A bound as the library writes it."""
    text: str = floatToGoString(bound)
    return text


class TalliedMetric(Metric):
    """A metric that makes its samples for whoever asks; a scrape writes the children as they are.

    Five thousand samples, each a value with a name and labels of its own, take longer to make than
    to write.
    """

    def __init__(
        self, name: str, text: str, kind: str, unit: str, children: Sequence[Series]
    ) -> None:
        super().__init__(name, text, kind, unit)
        self.children = children
        # Or the empty list that the library puts there would hide what `__getattr__` makes.
        del self.samples

    def __getattr__(self, name: str) -> list[Sample]:
        """The samples, when they are first asked for."""
        if name != "samples":
            raise AttributeError(name)
        self.samples = [sample for child in self.children for sample in child.samples()]
        return self.samples


Child = TypeVar("Child", bound=Series)


class Family(Collector, Generic[Child]):
    """One metric with its children by label values."""

    def __init__(self, name: str, text: str, kind: str, unit: str, labels: Sequence[str]) -> None:
        self.name = name
        self.label_names = tuple(labels)
        self._text, self._kind, self._unit = text, kind, unit
        self._children: dict[tuple[str, ...], Child] = {}

    def labels(self, *values: str) -> Child:
        """The child of these label values, made on first use."""
        # An enum's word is its text, and the registry sorts and escapes nothing but text.
        key = tuple(str(value) for value in values)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._child(dict(zip(self.label_names, key, strict=True)))
        return child

    @abstractmethod
    def _child(self, labels: dict[str, str]) -> Child:
        """A new child at 0."""

    def describe(self) -> Iterable[Metric]:
        """The metric without samples; the registry refuses a second one of its name."""
        return [Metric(self.name, self._text, self._kind, self._unit)]

    def collect(self) -> Iterable[Metric]:
        """The metric with the samples of all children."""
        # The children are copied, for one may be made while the scrape's thread is here.
        children = tuple(self._children.values())
        return [TalliedMetric(self.name, self._text, self._kind, self._unit, children)]


class CounterFamily(Family[Tally]):
    """Counters of one name, which ends in `_total`."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        super().__init__(name.removesuffix("_total"), text, "counter", "", labels)

    def _child(self, labels: dict[str, str]) -> Tally:
        return Tally(self.name, labels)


class HistogramFamily(Family[Distribution]):
    """Histograms of one name over the same bounds."""

    def __init__(
        self, name: str, text: str, unit: str, labels: Sequence[str], bounds: Sequence[float]
    ) -> None:
        super().__init__(name, text, "histogram", unit, labels)
        self._bounds = tuple(float(bound) for bound in bounds)

    def _child(self, labels: dict[str, str]) -> Distribution:
        return Distribution(self.name, labels, self._bounds)

"""Families of metrics, made in one registry: counters and histograms are our own, see `tallies`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Info

from tirelessd.observe.tallies import CounterFamily, HistogramFamily

UNITS: Final = ("seconds", "bytes")

TellOverflow = Callable[[str, str], None]
"""Is told the family and the label for which a value outside the closed set came."""


class Registrar:
    """Makes families in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *labels: str) -> CounterFamily:
        """A count that only grows."""
        family = CounterFamily(name, text, labels)
        self._registry.register(family)
        return family

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """A value as last read."""
        return Gauge(name, text, labels, unit=unit_of(name), registry=self._registry)

    def histogram(
        self, name: str, text: str, bounds: Sequence[float], *labels: str
    ) -> HistogramFamily:
        """A distribution, by upper bounds."""
        family = HistogramFamily(name, text, unit_of(name), labels, bounds)
        self._registry.register(family)
        return family

    def info(self, name: str, text: str) -> Info:
        """Facts as labels of a constant 1."""
        # A gauge in the text format, which has no such type; the name gets its `_info` there too.
        return Info(name, text, registry=self._registry)


def unit_of(name: str) -> str:
    """The base unit that the name ends in, "" when it has none."""
    return next((unit for unit in UNITS if name.endswith(f"_{unit}")), "")

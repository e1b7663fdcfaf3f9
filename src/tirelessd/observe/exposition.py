"""The registry as text, by the library's own encoders, which write each line's head only once.

They check and escape every name and label of every sample in every scrape, letter by letter: most
of a tenth of a second at twenty queues. But a series keeps its head for life, so it is remembered
here and only the value is written anew. What comes out is the same, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

Encode = Callable[[Collector], bytes]

END: Final = "# EOF\n"


class Exposition:
    """Writes registries in the format of one of the library's encoders; one thread at a time.

    Metrics are of the kinds that this project has: no gauge histograms, no `_created` series, for
    both of which the plain format has rules of its own.
    """

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._end = END if encode(_Only()).endswith(END.encode()) else ""
        self._titles: dict[str, str] = {}
        self._heads: dict[tuple[object, ...], str] = {}

    def text(self, collector: Collector) -> bytes:
        """Every sample of the collector."""
        parts: list[str] = []
        for metric in collector.collect():
            parts.append(self._title(metric))
            parts += [self._line(metric, sample) for sample in metric.samples]
        parts.append(self._end)
        return "".join(parts).encode()

    def _title(self, metric: Metric) -> str:
        title = self._titles.get(metric.name)
        if title is None:
            title = self._titles[metric.name] = self._written(_copy(metric, ()))
        return title

    def _line(self, metric: Metric, sample: Sample) -> str:
        if sample.timestamp is not None or sample.native_histogram:
            return self._whole_line(metric, sample)
        key = (sample.name, *sample.labels.items())
        head = self._heads.get(key)
        if head is None:
            line = self._whole_line(metric, sample._replace(exemplar=None))
            head = self._heads[key] = line.rpartition(" ")[0] + " "
        # The plain format has no room for one.
        pointer = exemplar_text(sample.exemplar) if sample.exemplar and self._end else ""
        return f"{head}{floatToGoString(sample.value)}{pointer}\n"

    def _whole_line(self, metric: Metric, sample: Sample) -> str:
        return self._written(_copy(metric, (sample,))).removeprefix(self._title(metric))

    def _written(self, metric: Metric) -> str:
        return self._encode(_Only(metric)).decode().removesuffix(self._end)


def exemplar_text(exemplar: Exemplar) -> str:
    """What stands behind a value that has an exemplar.

    Its labels are the ids of a trace, digits alone: nothing in them wants escaping.
    """
    labels = ",".join([f'{name}="{value}"' for name, value in sorted(exemplar.labels.items())])
    timestamp = "" if exemplar.timestamp is None else f" {exemplar.timestamp}"
    return f" # {{{labels}}} {floatToGoString(exemplar.value)}{timestamp}"


class _Only(Collector):
    """A collector of these metrics and no others."""

    def __init__(self, *metrics: Metric) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _copy(metric: Metric, samples: Iterable[Sample]) -> Metric:
    """The metric with other samples."""
    copy = Metric(metric.name, metric.documentation, metric.type, metric.unit)
    copy.samples = list(samples)
    return copy

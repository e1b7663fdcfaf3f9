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

from tirelessd.observe.tallies import Series, TalliedMetric

Encode = Callable[[Collector], bytes]

END: Final = "# EOF\n"
# From here on the library writes an exponent.
WRITTEN_WHOLE: Final = 1_000_000


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
        self._heads_of: dict[Series, list[str]] = {}

    def text(self, collector: Collector) -> bytes:
        """Every sample of the collector."""
        parts: list[str] = []
        for metric in collector.collect():
            parts.append(self._title(metric))
            if isinstance(metric, TalliedMetric):
                for child in metric.children:
                    parts += self._lines(metric, child)
            else:
                parts += [self._line(metric, sample) for sample in metric.samples]
        parts.append(self._end)
        return "".join(parts).encode()

    def _title(self, metric: Metric) -> str:
        title = self._titles.get(metric.name)
        if title is None:
            title = self._titles[metric.name] = self._written(_copy(metric, ()))
        return title

    def _lines(self, metric: Metric, child: Series) -> list[str]:
        """A child of one of our own families: nothing of it changes but the values."""
        heads = self._heads_of.get(child)
        if heads is None:
            heads = self._heads_of[child] = [
                self._head(metric, sample) for sample in child.samples()
            ]
        lines = [
            f"{head}{number_text(value)}\n"
            for head, value in zip(heads, child.values(), strict=True)
        ]
        # The plain format has no room for one.
        if self._end:
            for number, exemplar in enumerate(child.exemplars()):
                if exemplar is not None:
                    lines[number] = f"{lines[number][:-1]}{exemplar_text(exemplar)}\n"
        return lines

    def _line(self, metric: Metric, sample: Sample) -> str:
        if sample.timestamp is not None or sample.native_histogram or sample.exemplar:
            return self._whole_line(metric, sample)
        key = (sample.name, *sample.labels.items())
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = self._head(metric, sample)
        return f"{head}{number_text(sample.value)}\n"

    def _head(self, metric: Metric, sample: Sample) -> str:
        line = self._whole_line(metric, sample._replace(exemplar=None))
        return line.rpartition(" ")[0] + " "

    def _whole_line(self, metric: Metric, sample: Sample) -> str:
        return self._written(_copy(metric, (sample,))).removeprefix(self._title(metric))

    def _written(self, metric: Metric) -> str:
        return self._encode(_Only(metric)).decode().removesuffix(self._end)


def number_text(value: float) -> str:
    """A value as the library writes it."""
    # Most are small whole numbers, and to ask what they are is the faster way to write them.
    if type(value) is int and 0 <= value < WRITTEN_WHOLE:
        return f"{value}.0"
    text: str = floatToGoString(value)
    return text


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

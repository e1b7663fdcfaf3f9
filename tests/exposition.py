"""What /metrics says, as numbers."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


class Exposition:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self._samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def has(self, name: str) -> bool:
        """Whether there is any sample of a name."""
        return any(sample.name == f"tirelessd_{name}" for sample in self._samples)

    def total(self, name: str, **labels: str) -> float:
        """The sum over all samples of a name that carry these labels; fails when there is none."""
        values = [
            sample.value
            for sample in self._samples
            if sample.name == f"tirelessd_{name}" and labels.items() <= sample.labels.items()
        ]
        assert values, f"no sample tirelessd_{name} with {labels}"
        return sum(values)

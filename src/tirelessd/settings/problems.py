"""What is wrong with a configuration, as one line a problem, and never a secret in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tirelessd.core.errors import TirelessdError
from tirelessd.core.outcome import bounded_text


class Problem(NamedTuple):
    """One thing to mend: the setting's dotted path (or the file), and what is wrong with it."""

    setting: str
    message: str

    def __str__(self) -> str:
        # A key of the file may hold anything, a line end too.
        return bounded_text(f"{self.setting}: {self.message}")


class SettingsError(TirelessdError):
    """The configuration is bad; the message is one line, `problems` has them all."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        more = f" (and {len(problems) - 1} more; run tirelessd check)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}")
        self.problems = tuple(problems)


class Contradictions(ValueError):
    """Settings that are fine one by one and not together; raised inside the model's validation."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)

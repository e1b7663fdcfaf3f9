"""Whose turn it is when there is not time for every queue in one commit."""

from __future__ import annotations


class Turns:
    """The queues in the order of their last claims.

    Callers who were put off come again together, in the order they had: by that order alone the
    last of them would never be served.
    """

    def __init__(self) -> None:
        self._taken = 0
        self._last: dict[str, int] = {}

    def take(self, queue: str) -> None:
        """It is a queue's turn now; its next one comes after everybody else's."""
        self._taken += 1
        self._last[queue] = self._taken

    def place(self, queue: str) -> int:
        """Less than that of any queue whose last turn was later; 0 for none yet."""
        return self._last.get(queue, 0)

"""How long attempts of one queue take, of late: what tells how long those that wait will take."""

from __future__ import annotations

from typing import Final

RECENT_ATTEMPTS: Final = 500


class Pace:
    """The mean over recent attempts, older ones weighing less and less.

    Before the first has ended it is the limit that they have, so that a cold start does not look
    like no work at all.
    """

    def __init__(self, limit_seconds: float) -> None:
        self.mean_seconds = limit_seconds
        self._seen = 0

    def see(self, seconds: float) -> None:
        """Count an attempt that ended by itself."""
        # By number and not by time: after a quiet night the last of the evening tell most.
        self._seen = min(self._seen + 1, RECENT_ATTEMPTS)
        self.mean_seconds += (seconds - self.mean_seconds) / self._seen

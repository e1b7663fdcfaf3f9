"""What keeps a log readable in a storm: a few lines of a kind in full, then one in a hundred."""

from __future__ import annotations

import traceback
from hashlib import blake2s
from typing import Final

from tirelessd.core.clock import Clock

# Five lines show that something happens, and how often, before the rest only shows that it goes on.
WINDOW_SECONDS: Final = 60.0
FULL_LINES: Final = 5
ONE_IN: Final = 100
# Types can be made at run time, so their number needs a bound of its own.
FINGERPRINTS_MAX: Final = 1_000

Key = tuple[str, str | None, str | None]


class Window:
    """One kind of line within one minute."""

    __slots__ = ("lines", "started", "suppressed")

    def __init__(self, started: float) -> None:
        self.started = started
        self.lines = 0
        self.suppressed = 0


class Sampler:
    """Admits the first five lines of a kind in each minute, then every hundredth.

    A kind is (event, queue, reason): closed sets, so what is remembered is bounded too.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[Key, Window] = {}

    def admit(self, key: Key) -> int | None:
        """None for a line to suppress; else how many were, since the last one admitted."""
        now = self._clock.monotonic()
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(now)
        elif now - window.started >= WINDOW_SECONDS:
            # What was suppressed is kept: the first line of the new minute tells it.
            window.started, window.lines = now, 0
        window.lines += 1
        if window.lines > FULL_LINES and (window.lines - FULL_LINES) % ONE_IN:
            window.suppressed += 1
            return None
        suppressed, window.suppressed = window.suppressed, 0
        return suppressed


class Fingerprints:
    """Tells errors apart by type and place, and which of them are seen for the first time."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def first_sight(self, fingerprint: str) -> bool:
        """Whether this one is new; with a thousand different ones known, nothing is any more."""
        if fingerprint in self._seen or len(self._seen) >= FINGERPRINTS_MAX:
            return False
        self._seen.add(fingerprint)
        return True


def fingerprint_of(error: BaseException) -> str:
    """Eight hex digits for the error's type and the line that raised it."""
    # The text is left out, for it often has an id in it; so is the way that led there.
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    place = f"{frames[0].filename}:{frames[0].lineno}" if frames else ""
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    return blake2s(f"{kind}@{place}".encode(), digest_size=4).hexdigest()

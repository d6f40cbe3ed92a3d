"""Several watchers of one search: who shows it, and who keeps a record of it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from hwnas._errors import HwnasError
from hwnas._runs._journal import TrialRecord
from hwnas._runs._watch import Status, Unbroken, Watcher
from hwnas._runs._watched import WatchedSearch

_LONGEST = 200
"""Characters of a library's error that a line shows."""


class Recorder(Watcher):
    """Keeps a record of a search for other programs.

    Attributes:
        name: What people call it, in errors and warnings.
    """

    name = "recorder"


class Watchers(Watcher):
    """Passes everything on to whoever shows a search, and its trials to recorders as well.

    A recorder that cannot begin ends the search before its first evaluation. One that fails later costs one warning:
    it hears nothing more, and the search goes on without it. A display that fails, a closed stream say, takes no trial
    from the recorders. Lines may come from any thread; whoever shows them hears one thing at a time.

    Args:
        shown: Who shows the search, and hears of recorders that fail.
        recorders: Who keeps a record of the trials.
    """

    def __init__(self, shown: Watcher, recorders: Sequence[Recorder]) -> None:
        self._shown, self._recorders = Unbroken(shown), list(recorders)
        self._lock = threading.RLock()
        self._failed: list[Recorder] = []

    def line(self, text: str) -> None:
        """Pass it on."""
        with self._lock:
            self._shown.line(text)

    def begin(self, search: WatchedSearch) -> None:
        """Pass it on.

        Raises:
            HwnasError: A recorder cannot begin.
        """
        with self._lock:
            self._shown.begin(search)
        for recorder in self._recorders:
            recorder.begin(search)

    def trial(self, record: TrialRecord, status: Callable[[], Status]) -> None:
        """Pass it on, to the recorders first."""
        self._record(lambda recorder: recorder.trial(record, status))
        with self._lock:
            self._shown.trial(record, status)

    def end(self, finished: bool) -> None:
        """Pass it on, to the recorders first: those of `shown` may read what they wrote."""
        self._record(lambda recorder: recorder.end(finished))
        with self._lock:
            self._shown.end(finished)

    def close(self) -> None:
        """Close all of them."""
        self.close_recorders()
        with self._lock:
            self._shown.close()

    def close_recorders(self) -> None:
        """Close the recorders alone."""
        for recorder in (*self._recorders, *self._failed):
            with suppress(Exception):  # what it had to say, it said before
                recorder.close()
        self._recorders, self._failed = [], []

    def _record(self, tell: Callable[[Recorder], None]) -> None:
        """Tell the recorders something, and leave out from now on those that fail."""
        for recorder in list(self._recorders):
            try:
                tell(recorder)
            except Exception as error:  # of libraries and of other people's servers: anything
                self._recorders.remove(recorder)
                self._failed.append(recorder)
                self.line(
                    f"warning: {recorder.name} failed ({reason(error)}); the search continues without it. Run the same "
                    "command again to log the missing trials"
                )


def reason(error: Exception) -> str:
    """Return why something failed, in one line without passwords."""
    text = " ".join(str(error).split())
    return without_passwords(text if isinstance(error, HwnasError) else f"{type(error).__name__}: {text[:_LONGEST]}")


def without_passwords(text: str) -> str:
    """Return a text in which the passwords of URLs are stars, those of their queries too."""
    text = re.sub(r"(://[^\s:/@?#]*):[^\s?#]+@", r"\1:***@", text)
    return re.sub(r"([?&](?:password|passwd|pwd|token|sslpassword)=)[^&#\s]+", r"\1***", text, flags=re.IGNORECASE)

"""The journal of raw samples: JSON lines beside the table, appended round by round, so that a profile resumes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from latency_tables import LineJournal, strict_json
from profilers._errors import JournalError
from profilers._samples import STOP_REASONS, SampleSet
from profilers._sampling import Runnable, Sampler, SamplingSettings

_FORMAT = "hwnas-samples"
_VERSION = 1
_BEGINS = b'{"format": "hwnas-samples", '
_FIRST_ROUNDS = 3
"""So many rounds tell how long a pass takes."""
_WORTH_S = 20.0
"""A shorter pass is not announced."""


class SampleJournal:
    """Raw samples of one profile, one line a round. A torn last line (a crash while writing) is dropped.

    Args:
        path: the file; created when absent.
        header: what the samples belong to (identity, settings, plan); another header in the file is refused.

    Raises:
        JournalError: the file cannot be read or written, or belongs to another profile.
    """

    def __init__(self, path: Path, header: Mapping[str, object]) -> None:
        self.path = path
        self._header = {"format": _FORMAT, "version": _VERSION, **header}
        self.history: dict[str, SampleSet] = {}
        self.rounds = self.samples = 0
        try:
            self._file = LineJournal(path, _BEGINS)
        except OSError as error:
            raise JournalError(f"cannot write {path}: {error.strerror}; choose another output with -o") from None
        try:
            if self._file.lines:
                self._read(self._file.lines)
            else:
                self._write(self._header)
        except BaseException:
            self._file.close()
            raise

    def _read(self, lines: list[bytes]) -> None:
        try:
            header = strict_json(lines[0])
            if not isinstance(header, dict) or header.get("format") != _FORMAT:
                raise JournalError(f"{self.path} is not a journal of hwnas; move it away or choose another -o")
            if header != json.loads(json.dumps(self._header)):
                raise JournalError(
                    f"{self.path} holds samples of another device, setting, space or version of hwnas; delete it or "
                    "choose another -o"
                )
            for line in lines[1:]:
                self._take(strict_json(line))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise JournalError(f"{self.path} is damaged; delete it to measure again") from None

    def _take(self, record: dict[str, dict[str, Any]]) -> None:
        if "repeats" in record:
            for name, repeats in record["repeats"].items():
                if type(repeats) is not int or repeats < 1:
                    raise ValueError(repeats)
                self.history[name] = SampleSet(repeats)
            return
        if "stops" in record:
            for name, stop in record["stops"].items():
                if stop not in STOP_REASONS:
                    raise ValueError(stop)
                self.history[name].stop = stop
            return
        for name, seconds in record["seconds"].items():
            if type(seconds) not in (int, float) or not seconds > 0:
                raise ValueError(seconds)
            self.history[name].add(float(seconds), self.samples)
            self.samples += 1
        self.rounds += 1

    def write_repeats(self, repeats: Mapping[str, int]) -> None:
        """Note how often each runnable is repeated in a sample."""
        new = {name: n for name, n in repeats.items() if name not in self.history}
        if new:
            self._write({"repeats": new})

    def write_round(self, number: int, seconds: Mapping[str, float]) -> None:
        """Append one round; the order of `seconds` is the order in which they were measured."""
        self.samples += len(seconds)
        self._write({"round": number, "seconds": {name: float(f"{value:.6g}") for name, value in seconds.items()}})

    def write_end(self, samples: Mapping[str, SampleSet]) -> None:
        """Note that these are sampled to the end, and why, so that nothing of them is sampled again."""
        self._write({"stops": {name: one.stop for name, one in samples.items()}})

    def _write(self, record: Mapping[str, object]) -> None:
        try:
            self._file.append(json.dumps(record))
        except OSError as error:
            raise JournalError(f"cannot write {self.path}: {error.strerror}; nothing measured so far is lost") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> SampleJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def pass_seconds(round_s: float, settings: SamplingSettings) -> tuple[float, float]:
    """The least and the most that a pass takes whose rounds take `round_s` with everything still sampled.

    The least is when all converge at once; later rounds, of what has not, are shorter.
    """
    least = settings.min_rounds * round_s
    return least, max(least, min(settings.max_rounds * round_s, settings.max_seconds + round_s))


def sample_into(
    journal: SampleJournal,
    runnables: Mapping[str, Runnable],
    settings: SamplingSettings,
    care: Mapping[str, float],
    what: str,
    progress: Callable[[str], None],
) -> dict[str, SampleSet]:
    """Sample `runnables`, each round into the journal, going on from the rounds that it holds.

    Args:
        journal: open.
        runnables: by name; none give no samples.
        settings: of the sampling.
        care: how much more than the others some are to be measured, as `Sampler` takes it.
        what: the pass, for people.
        progress: receives lines for people.
    """
    if not runnables:
        return {}
    history = {name: journal.history[name] for name in runnables if name in journal.history}
    if len(history) == len(runnables) and all(one.stop for one in history.values()):
        return history
    sampler = Sampler(
        runnables,
        settings,
        history=history,
        on_round=journal.write_round,
        care=care,
        first_moment=journal.samples,
    )
    progress(f"warming up {what}")
    journal.write_repeats(sampler.choose_repeats())

    began, rounds = time.monotonic(), 0

    def on_progress(done: int, cap: int, active: int) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == done == _FIRST_ROUNDS:  # a resumed pass has less to do
            low, high = pass_seconds((time.monotonic() - began) / rounds, settings)
            if high >= _WORTH_S:
                progress(f"{what} takes {low:.0f} to {high:.0f} s, by its first {rounds} rounds")
        if done % 10 == 0 or not active:
            progress(f"{what}: round {done} (at most {cap}), {active} of {len(runnables)} still sampled")

    samples = sampler.run(on_progress)
    if sampler.repeated:
        progress(f"{what}: {sampler.repeated} rounds measured again, since something else used this machine")
    journal.write_end(samples)
    return samples

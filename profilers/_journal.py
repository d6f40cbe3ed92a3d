"""The journal of raw samples: JSON lines beside the table, from which an interrupted profile resumes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from latency_tables import LineJournal, strict_json
from profilers._errors import JournalError
from profilers._samples import STOP_REASONS, SampleSet
from profilers._timing import Runnable, SamplingSettings, TextProgress, Timer

_FORMAT = "hwnas-samples"
_VERSION = 1
_BEGINS = b'{"format": "hwnas-samples", '
_FIRST_ROUNDS = 3
"""Rounds after which the duration of a pass is estimated."""
_WORTH_S = 20.0
"""Seconds below which the duration of a pass is not announced."""


class SampleJournal:
    """Raw samples of one profile, one line for each round. An incomplete last line (a crash while writing) is dropped.

    Args:
        path: The file; created where absent.
        header: What the samples belong to (identity, settings, plan); a file with another header is refused.

    Attributes:
        history: The samples that the file held when it was opened, by runnable.
        rounds: Number of rounds that the file held when it was opened.
        samples: Number of samples in the file.

    Raises:
        JournalError: The file cannot be read or written, or belongs to another profile.
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
        """Check the header and read all records."""
        try:
            header = strict_json(lines[0])
            if not isinstance(header, dict) or header.get("format") != _FORMAT:
                raise JournalError(f"{self.path} is not a sample journal of hwnas; move it or choose another -o")
            if header != json.loads(json.dumps(self._header)):
                raise JournalError(
                    f"{self.path} holds samples of another device, setting, space or version of hwnas; delete it or "
                    "choose another -o"
                )
            for line in lines[1:]:
                self._read_record(strict_json(line))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise JournalError(f"{self.path} is damaged; delete it to measure again") from None

    def _read_record(self, record: dict[str, dict[str, Any]]) -> None:
        """Add the record of a line: chosen repeats, reasons to stop, or the samples of a round.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: It is not a record.
        """
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
        """Record how often each runnable is repeated in a sample."""
        new = {name: n for name, n in repeats.items() if name not in self.history}
        if new:
            self._write({"repeats": new})

    def write_round(self, number: int, seconds: Mapping[str, float]) -> None:
        """Append one round; the order of `seconds` is the order in which they were measured."""
        self.samples += len(seconds)
        self._write({"round": number, "seconds": {name: float(f"{value:.6g}") for name, value in seconds.items()}})

    def write_end(self, samples: Mapping[str, SampleSet]) -> None:
        """Record that the sampling of these runnables has ended, and why, so that a resumed profile skips them."""
        self._write({"stops": {name: sample_set.stop for name, sample_set in samples.items()}})

    def _write(self, record: Mapping[str, object]) -> None:
        """Append a line.

        Raises:
            JournalError: It cannot be written.
        """
        try:
            self._file.append(json.dumps(record))
        except OSError as error:
            raise JournalError(f"cannot write {self.path}: {error.strerror}; all samples so far are kept") from None

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
    """Estimate the shortest and longest duration of a pass, in seconds.

    It is shortest where all runnables converge at the first check. Later rounds time fewer runnables and are shorter.

    Args:
        round_s: Seconds of a round that times every runnable.
        settings: When sampling stops.
    """
    least = settings.min_rounds * round_s
    return least, max(least, min(settings.max_rounds * round_s, settings.max_seconds + round_s))


class _PassProgress:
    """Writes progress lines of a pass: its duration, estimated once, and every tenth round. `Timer.run` calls it.

    Args:
        pass_name: Name of the pass.
        graphs: Number of runnables in it.
        settings: When sampling stops.
        progress: Receives the lines.
    """

    def __init__(self, pass_name: str, graphs: int, settings: SamplingSettings, progress: TextProgress) -> None:
        self._pass_name, self._graphs, self._settings, self._progress = pass_name, graphs, settings, progress
        self._began, self._rounds = time.monotonic(), 0

    def __call__(self, done: int, most: int, active: int) -> None:
        """Report round `done` of at most `most`, after which `active` runnables continue."""
        self._rounds += 1
        if self._rounds == done == _FIRST_ROUNDS:  # a resumed pass is shorter, so it is not estimated
            low, high = pass_seconds((time.monotonic() - self._began) / done, self._settings)
            if high >= _WORTH_S:
                self._progress(
                    f"{self._pass_name} takes {low:.0f} to {high:.0f} s, estimated from its first {done} rounds"
                )
        if done % 10 == 0 or not active:
            still = f"{active} of {self._graphs} graphs still noisy"
            self._progress(f"{self._pass_name}: round {done} of at most {most}, {still}")


def sample_into(
    journal: SampleJournal,
    runnables: Mapping[str, Runnable],
    settings: SamplingSettings,
    noise_weights: Mapping[str, float],
    pass_name: str,
    progress: TextProgress,
) -> dict[str, SampleSet]:
    """Sample `runnables` and write each round to the journal; resume after the rounds that it holds.

    Args:
        journal: An open journal.
        runnables: What to sample, by name; may be empty.
        settings: When sampling stops.
        noise_weights: Factors on the noise of runnables, as `Timer` takes them.
        pass_name: Name of the pass, for progress lines.
        progress: Receives progress lines.

    Returns:
        All samples by name, those that the journal held included.
    """
    if not runnables:
        return {}
    history = {name: journal.history[name] for name in runnables if name in journal.history}
    if len(history) == len(runnables) and all(sample_set.stop for sample_set in history.values()):
        return history
    timer = Timer(
        runnables,
        settings,
        history=history,
        on_round=journal.write_round,
        noise_weights=noise_weights,
        first_moment=journal.samples,
    )
    progress(f"warming up {pass_name}")
    journal.write_repeats(timer.choose_repeats())

    samples = timer.run(_PassProgress(pass_name, len(runnables), settings, progress))
    if timer.repeated:
        progress(f"{pass_name}: added {timer.repeated} rounds, because other work used this machine")
    journal.write_end(samples)
    return samples

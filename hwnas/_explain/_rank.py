"""Several model files measured in the same rounds, and which differences between them are real."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import NormalDist

import numpy as np

from hwnas._errors import HwnasError
from hwnas._explain._inputs import ModelError, with_one_sample
from hwnas._explain._paired import ROUNDS, Z90, Paired, Rounds, plain_timer, time_rounds
from hwnas._explain._ranking import Difference, RankedFile, Ranking
from hwnas._explain._sessions import open_session
from hwnas._runs._compare import short_names
from profilers import (
    STATISTICS,
    Backend,
    Runnable,
    TextProgress,
    UnsupportedGraphError,
    draw_inputs,
    load_onnx,
    second_pass_name,
)
from search import nondominated

_SESSIONS: tuple[Callable[[str], str], ...] = (str, second_pass_name)
"""Name the first and the second session of a file."""
_P99_ROUNDS = 50
"""Rounds below which the reader is told what p99 is."""
_DISTURBED = 0.25
"""Share of disturbed rounds from which on the reader is told."""


def load_files(
    files: Sequence[Path], threads: int, progress: TextProgress = lambda text: None
) -> tuple[dict[str, Runnable], list[int]]:
    """Open two sessions of each file.

    Args:
        files: ONNX files.
        threads: Threads inside an operator.
        progress: Receives a line for each file.

    Returns:
        Sessions by the number of the file, the second one named as `second_pass_name` says; and the first axis of each
        file's first input: 1, but where the file fixes another batch.

    Raises:
        ModelError: A file cannot be executed.
        ModelFileError: A file cannot be read.
    """
    sessions: dict[str, Runnable] = {}
    batches = []
    for number, file in enumerate(files):
        progress(f"loading {file}")
        model = with_one_sample(load_onnx(file), str(file))
        content = model.SerializeToString()
        for seed, named in enumerate(_SESSIONS):
            try:
                inputs = draw_inputs(model, {}, seed)
            except UnsupportedGraphError as error:
                raise ModelError(f"{file}: {error}") from None
            sessions[named(str(number))] = open_session(content, inputs, threads=threads, name=str(file))
        shapes = [value.shape for value in inputs.values()]
        batches.append(shapes[0][0] if shapes and shapes[0] else 1)
    return sessions, batches


def rank_files(
    files: Sequence[Path],
    backend: Backend,
    *,
    threads: int,
    statistic: str,
    budget_ms: float | None = None,
    scores: Sequence[float] | None = None,
    progress: TextProgress = lambda text: None,
    rounds: int = ROUNDS,
) -> Ranking:
    """Measure several files in the same interleaved rounds and rank them.

    Args:
        files: ONNX files.
        backend: The device; times the reference op and says what the times are valid for.
        threads: Threads inside an operator.
        statistic: Which statistic of the latency counts.
        budget_ms: Upper bound of the latency; None for none.
        scores: Score of each file, higher is better; None for none.
        progress: Receives progress lines.
        rounds: Most rounds.

    Raises:
        ModelError: A file cannot be read or executed.
        HwnasError: There is no file.
    """
    if not files:
        raise HwnasError("rank needs one ONNX file or more")
    sessions, batches = load_files(files, threads, progress)
    progress(f"measuring {len(files)} file(s) in the same rounds, each loaded twice")
    taken = time_rounds(plain_timer(backend), sessions, rounds)
    return ranking_of(
        taken,
        files,
        statistic=statistic,
        budget_ms=budget_ms,
        scores=scores,
        identity=backend.identity(),
        batches=batches,
    )


def ranking_of(
    rounds: Rounds,
    files: Sequence[Path],
    *,
    statistic: str,
    budget_ms: float | None,
    scores: Sequence[float] | None,
    identity: dict[str, object],
    batches: Sequence[int] = (),
) -> Ranking:
    """Return what the samples say about the files; arguments as of `rank_files`.

    Args:
        rounds: Samples by the number of the file.
        files: The files.
        statistic: Which statistic of the latency counts.
        budget_ms: Upper bound of the latency; None for none.
        scores: Score of each file; None for none.
        identity: What the times are valid for.
        batches: First axis of each file's first input, where the reader is to be told of differences.
    """
    paired = Paired(rounds, [str(i) for i in range(len(files))], statistic)
    order = [int(i) for i in np.argsort(paired.logs, kind="stable")]
    names = short_names([Path(file) for file in files])
    pairs = _differences(paired, order, names)
    places = _places([names[i] for i in order], pairs)
    ranked = [
        replace(
            _ranked(rounds, paired, i, str(files[i]), names[i], place, budget_ms), score=scores[i] if scores else None
        )
        for i, place in zip(order, places, strict=True)
    ]
    notes = []
    if rounds.disturbed > _DISTURBED:
        notes.append(f"other work on the machine disturbed {rounds.disturbed:.0%} of the rounds; see `hwnas doctor`")
    if rounds.count < _P99_ROUNDS:
        notes.append(f"p99 of {rounds.count} rounds is nearly the slowest one; slow models get few rounds")
    if len(set(batches)) > 1:
        told = ", ".join(f"{name} {batch}" for name, batch in zip(names, batches, strict=True))
        notes.append(f"the first axes of the inputs differ, so an inference may be of more samples in one file: {told}")
    return Ranking(
        files=_with_front(ranked) if scores else tuple(ranked),
        differences=tuple(pairs.values()),
        statistic=statistic,
        budget_ms=budget_ms,
        noise_floor=paired.noise_floor,
        rounds=rounds.count,
        identity=identity,
        notes=tuple(notes),
    )


def _ranked(
    rounds: Rounds, paired: Paired, number: int, file: str, name: str, place: int, budget_ms: float | None
) -> RankedFile:
    """Return a file without its score."""
    both = [rounds.seconds[named(str(number))] for named in _SESSIONS]
    quantiles = {s: 1e3 * math.sqrt(math.prod(float(np.quantile(t, q)) for t in both)) for s, q in STATISTICS.items()}
    log_ms, half = float(paired.logs[number]) + math.log(1e3), Z90 * paired.sd(number)
    value, low, high = (math.exp(log_ms + shift) for shift in (0.0, -half, half))
    keeps = None if budget_ms is None else value <= budget_ms
    certain = None if budget_ms is None else not low <= budget_ms < high
    return RankedFile(file, name, value, low, high, quantiles, place, keeps, certain)


def _differences(paired: Paired, order: Sequence[int], names: Sequence[str]) -> dict[tuple[str, str], Difference]:
    """Return every pair, the faster file first; the intervals hold together with 90 % (Bonferroni)."""
    pairs = list(combinations(order, 2))
    z = NormalDist().inv_cdf(1 - 0.05 / max(1, len(pairs)))
    result = {}
    for first, second in pairs:
        log = float(paired.logs[second] - paired.logs[first])
        half = z * paired.difference_sd(first, second)
        ratio, low, high = (math.exp(log + shift) for shift in (0.0, -half, half))
        result[names[first], names[second]] = Difference(names[first], names[second], ratio, low, high)
    return result


def _places(ordered: Sequence[str], pairs: dict[tuple[str, str], Difference]) -> list[int]:
    """Return the place of each name; a new one begins where a file is really slower than the fastest of the last."""
    places: list[int] = []
    fastest = 0
    for i, name in enumerate(ordered):
        if i and pairs[ordered[fastest], name].real:
            fastest = i
        places.append(1 if not places else places[-1] + (fastest == i))
    return places


def _with_front(ranked: Sequence[RankedFile]) -> tuple[RankedFile, ...]:
    """Mark the front among the files that keep the budget; latencies of one place count as equal."""
    counted = [i for i, file in enumerate(ranked) if file.keeps_budget is not False]
    values = np.array([[ranked[i].score, -ranked[i].place] for i in counted], dtype=np.float64).reshape(-1, 2)
    kept = {i for i, on_front in zip(counted, nondominated(values).tolist(), strict=True) if on_front}
    return tuple(replace(file, on_front=i in kept) for i, file in enumerate(ranked))

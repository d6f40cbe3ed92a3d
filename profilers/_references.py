"""Times beside references: what a graph takes now, and at the speed that the machine had when a table was made.

A machine that shares its cores, heats up or steps its clock is faster or slower for minutes at a time, by more than a
table errs. Reference networks, whose times at the table's making are known, are therefore timed in every round of every
session: what they take now, over what they took then, is the slowness of the machine.

Keeps to numpy; needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from latency_tables import OpGraph
from profilers._backend import Backend
from profilers._executed import executed_graph, fusion_of
from profilers._plan import reference_graph
from profilers._samples import QUANTILE, Z90, SampleSet, bootstrap_quantiles, disturbed
from profilers._speed import at_one_speed
from profilers._timing import REFERENCE_OP, RoundSink, Runnable, SamplingSettings, Timer

FloatArray = npt.NDArray[np.float64]
STATISTICS: Mapping[str, float] = {"q10": QUANTILE, "median": 0.5, "p90": 0.9, "p99": 0.99}
"""Quantiles of a network's times that are stated, by name."""
REFERENCE_TAILS = "reference_tails"
"""Entry of a table's environment: `Speed.tails` of a session of its references right after the profile."""
_REFERENCE = "reference:"
_LEAST_SPEED_SD = 0.003
"""Least standard error of the log slowness; few references can agree by chance."""
_FEWEST = 10
"""Fewest samples from which a tail is estimated."""


@dataclass(frozen=True)
class Reference:
    """A network whose time at the making of a table is known.

    Attributes:
        name: What it is called in reports.
        graph: The network.
        then_ms: Its q10 at the table's making, in milliseconds.
    """

    name: str
    graph: OpGraph
    then_ms: float


@dataclass(frozen=True)
class References:
    """What is timed in every session to tell the machine's speed of the moment.

    Attributes:
        networks: Reference networks; without any, the speed is not known.
        reference_op_ms: q10 of the reference op at the table's making; None where the table does not say.
        tails: `Speed.tails` at the table's making, by statistic; empty where that is not known.
        session_sd: Standard deviation of a network's log time between two sessions that are loaded anew, at one speed
            of the machine (where the memory of a session happens to lie changes its time).
    """

    networks: tuple[Reference, ...] = ()
    reference_op_ms: float | None = None
    tails: Mapping[str, float] = field(default_factory=dict)
    session_sd: float = 0.01


@dataclass(frozen=True)
class Speed:
    """The machine's speed during one session.

    Attributes:
        slowness: How many times longer the references take now than at the table's making: 1.12 is 12 % slower. None
            where there are no references.
        half_width: Half the width of its 90 % interval, relative.
        ratios: The same ratio of each reference, by name.
        tails: Quantiles over q10 in the median over the graphs of the session, how long tails are, by statistic.
    """

    slowness: float | None
    half_width: float
    ratios: Mapping[str, float]
    tails: Mapping[str, float]


@dataclass(frozen=True)
class NetworkTime:
    """What one network takes, in milliseconds.

    Attributes:
        raw: As timed, by statistic (`STATISTICS`).
        at_table_speed: At the speed that the machine had at the table's making, by statistic; `raw` where that is not
            known.
        half_widths: Half the widths of the 90 % intervals of `at_table_speed`, by statistic. They hold the noise of the
            samples, of the machine's speed, and of a session that is loaded anew.
        samples: Number of samples.
    """

    raw: Mapping[str, float]
    at_table_speed: Mapping[str, float]
    half_widths: Mapping[str, float]
    samples: int


@dataclass(frozen=True)
class SessionTimes:
    """What one session of timing says.

    Attributes:
        speed: The machine's speed.
        times: Times by name.
    """

    speed: Speed
    times: Mapping[str, NetworkTime]


class ReferenceTimer:
    """Times networks in interleaved rounds together with references, whose sessions it keeps.

    Args:
        backend: Device and runtime.
        references: What is timed beside.
    """

    def __init__(self, backend: Backend, references: References) -> None:
        self.references, self._backend = references, backend
        self._loaded: dict[str, Runnable] = {}
        self.reload()

    def reload(self, seed: int = 0) -> None:
        """Load the references anew, so that where their sessions lie in memory is not an error that sessions share.

        Args:
            seed: Seeds their weights.
        """
        backend, fusion = self._backend, fusion_of(self._backend)
        self._loaded.clear()  # the old sessions are released first
        for reference in self.references.networks:
            self._loaded[_REFERENCE + reference.name] = backend.load(executed_graph(reference.graph, fusion), seed=seed)
        self._loaded[REFERENCE_OP] = backend.load(reference_graph(backend.image_channels), seed=seed)

    def measure(
        self,
        runnables: Mapping[str, Runnable],
        settings: SamplingSettings,
        *,
        seed: int = 0,
        most_references: int | None = None,
        on_round: RoundSink | None = None,
    ) -> SessionTimes:
        """Time every network and the references in the same rounds.

        Args:
            runnables: What to time, by name; none to measure the machine's speed alone.
            settings: How to sample; `fixed_rounds` makes settings that stop nothing early.
            seed: Seeds the order inside the rounds.
            most_references: Number of reference networks, the fastest ones; None for all. The reference op is always
                timed.
            on_round: Called after each round.
        """
        ordered = sorted(self.references.networks, key=lambda reference: reference.then_ms)
        kept = len(ordered) if most_references is None else most_references
        left_out = {_REFERENCE + reference.name for reference in ordered[kept:]}
        beside = {name: runnable for name, runnable in self._loaded.items() if name not in left_out}
        samples = Timer({**runnables, **beside}, settings, seed=seed, on_round=on_round).run()
        return session_times(samples, self.references)


def fixed_rounds(
    rounds: int, *, max_seconds: float, inner_seconds: float = 300e-6, priming_runs: int = 4, min_rounds: int = 5
) -> SamplingSettings:
    """Return settings under which all graphs take part in the same number of rounds.

    Args:
        rounds: Number of rounds; fewer where they take longer than `max_seconds`, but `min_rounds` at least.
        max_seconds: Seconds after which no round begins.
        inner_seconds: Seconds of one sample; 0 times single executions.
        priming_runs: Untimed executions before each sample.
        min_rounds: Fewest rounds.
    """
    return SamplingSettings(
        min_rounds=min(min_rounds, rounds),
        max_rounds=rounds,
        max_seconds=max_seconds,
        target=0.0,
        inner_seconds=inner_seconds,
        check_every=rounds + 1,
        priming_runs=priming_runs,
    )


def session_times(samples: Mapping[str, SampleSet], references: References) -> SessionTimes:
    """Return what the samples of one session say.

    Args:
        samples: Samples by name, those of the reference op and of the reference networks included.
        references: The references.
    """
    converted = at_one_speed(samples).samples
    slowness, speed_sd, ratios = _slowness(converted, references)
    tails = pooled_tails(samples)
    speed = Speed(slowness, Z90 * speed_sd, ratios, tails)
    deviations = _tail_deviations(samples)
    times = {
        name: _network_time(sample_set, converted[name], speed, references, speed_sd, deviations[name])
        for name, sample_set in samples.items()
        if name != REFERENCE_OP and not name.startswith(_REFERENCE)
    }
    return SessionTimes(speed, times)


def _slowness(samples: Mapping[str, SampleSet], references: References) -> tuple[float | None, float, dict[str, float]]:
    """Return the slowness, the standard error of its logarithm, and the ratio of each reference."""
    then = {_REFERENCE + reference.name: reference.then_ms for reference in references.networks}
    if not then:
        return None, 0.0, {}
    if references.reference_op_ms is not None:
        then[REFERENCE_OP] = references.reference_op_ms
    ratios = {name: samples[name].quantile() * 1e3 / ms for name, ms in then.items() if name in samples}
    logs = np.log(list(ratios.values()))
    middle = float(np.median(logs))
    # The standard error of a median of n values is 1.2533 s / sqrt(n), with s from the median absolute deviation.
    scale = 1.4826 * float(np.median(np.abs(logs - middle)))
    error = 1.2533 * max(scale, references.session_sd) / math.sqrt(len(logs))
    return math.exp(middle), max(error, _LEAST_SPEED_SD), {k.removeprefix(_REFERENCE): r for k, r in ratios.items()}


def pooled_tails(samples: Mapping[str, SampleSet]) -> dict[str, float]:
    """Return quantiles over q10, by statistic, in the median over the graphs of a session.

    All graphs of a session are timed in the same rounds, so what lengthens their tails is common to them.
    """
    graphs = [s for s in samples.values() if len(s.seconds) >= _FEWEST]
    if not graphs:
        return {}
    return {name: float(np.median([s.quantile(q) / s.quantile() for s in graphs])) for name, q in STATISTICS.items()}


def _tail_deviations(samples: Mapping[str, SampleSet]) -> dict[str, dict[str, tuple[float, float]]]:
    """Return how far the tail of each graph deviates from what is usual in the session, shrunk, with its error.

    Samples that other work interrupted are left out: how many there are belongs to the moment, and long inferences are
    interrupted more often than short ones. What is left counts by the share of it that both halves of the session
    agree on (empirical Bayes: Efron and Morris 1975, equation 1.2), because the p99 of a hundred samples is hardly
    more than their maximum.

    Returns:
        By name and statistic: the shrunk log deviation, and its standard error.
    """
    names = list(samples)
    result: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in names}
    own = [np.asarray(s.seconds)[~disturbed(s)] / s.quantile() for s in samples.values()]
    enough = min((len(ratios) for ratios in own), default=0) >= _FEWEST
    for statistic, q in STATISTICS.items():
        deviations, error = np.zeros(len(names)), 0.0
        if statistic != "q10" and enough:
            # r_i = log(quantile_i / q10_i) - median over graphs, of all samples, and r', r'' of either half
            whole = _log_tails(own, q)
            first, second = (_log_tails([np.array_split(ratios, 2)[half] for ratios in own], q) for half in (0, 1))
            # between graphs: tau^2 = max(0, mean r' r''); noise of one: v = mean (r' - r'')^2 / 4
            between = max(0.0, float(np.mean(first * second)))
            noise = float(np.mean((first - second) ** 2)) / 4
            # w r_i with w = tau^2 / (tau^2 + v), and its standard error sqrt(w v)
            weight = between / (between + noise) if between > 0 else 0.0
            deviations, error = weight * whole, math.sqrt(weight * noise)
        for name, deviation in zip(names, deviations.tolist(), strict=True):
            result[name][statistic] = (deviation, error)
    return result


def _log_tails(ratios: Sequence[FloatArray], q: float) -> FloatArray:
    """Return the log of the q-quantile of each graph's samples over its q10 ``(n,)``, less their median."""
    tails = np.log([np.quantile(values, q) for values in ratios])
    return np.asarray(tails - np.median(tails))


def _network_time(
    raw: SampleSet,
    converted: SampleSet,
    speed: Speed,
    references: References,
    speed_sd: float,
    deviations: Mapping[str, tuple[float, float]],
) -> NetworkTime:
    """Return the times of one network."""
    raw_ms = {name: raw.quantile(q) * 1e3 for name, q in STATISTICS.items()}
    if speed.slowness is None:
        sds = {name: math.hypot(_log_sd(raw, q), references.session_sd) for name, q in STATISTICS.items()}
        half_widths = {name: raw_ms[name] * math.expm1(Z90 * sd) for name, sd in sds.items()}
        return NetworkTime(raw_ms, raw_ms, half_widths, len(raw.seconds))
    q10_ms, q10_sd = converted.quantile() * 1e3 / speed.slowness, _log_sd(converted, QUANTILE)
    table_ms, half_widths = {}, {}
    for name in STATISTICS:
        # q10 at the table's speed, times the tail at the table's making, times what this graph adds to the tail
        deviation, deviation_sd = deviations[name]
        tail = references.tails.get(name, speed.tails.get(name, 1.0)) if name != "q10" else 1.0
        table_ms[name] = q10_ms * tail * math.exp(deviation)
        error = math.sqrt(q10_sd**2 + speed_sd**2 + references.session_sd**2 + deviation_sd**2)
        half_widths[name] = table_ms[name] * math.expm1(Z90 * error)
    return NetworkTime(raw_ms, table_ms, half_widths, len(raw.seconds))


def _log_sd(samples: SampleSet, q: float) -> float:
    """Return the standard error of the log of a quantile, by the bootstrap."""
    return float(np.std(np.log(bootstrap_quantiles(samples.seconds, np.random.default_rng(0), q=q))))


def merge_times(sessions: Sequence[NetworkTime]) -> NetworkTime:
    """Return one time from those of several sessions, each loaded anew: geometric means at the table's speed.

    Args:
        sessions: One or more times of one network.
    """
    if len(sessions) == 1:
        return sessions[0]

    def mean(values: Sequence[float]) -> float:
        """Return the geometric mean."""
        return math.exp(float(np.mean(np.log(values))))

    names = list(STATISTICS)
    table_ms = {name: mean([s.at_table_speed[name] for s in sessions]) for name in names}
    relative = {
        name: math.sqrt(
            float(np.mean([(s.half_widths[name] / s.at_table_speed[name]) ** 2 for s in sessions])) / len(sessions)
        )
        for name in names
    }
    return NetworkTime(
        {name: mean([s.raw[name] for s in sessions]) for name in names},
        table_ms,
        {name: relative[name] * table_ms[name] for name in names},
        sum(s.samples for s in sessions),
    )


def merge_slowness(sessions: Sequence[SessionTimes]) -> tuple[float | None, float | None]:
    """Return the geometric mean of the sessions' slowness, and half the width of its 90 % interval, relative.

    Args:
        sessions: One or more sessions; where the speed of one is not known, the mean is not, either.
    """
    speeds = [session.speed for session in sessions]
    known = [speed.slowness for speed in speeds if speed.slowness is not None]
    if len(known) < len(speeds):
        return None, None
    relative = math.sqrt(sum(speed.half_width**2 for speed in speeds)) / len(speeds)
    return math.exp(float(np.mean(np.log(known)))), relative

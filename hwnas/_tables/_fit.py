"""Latency tables from whole-network latencies alone: `hwnas fit`.

For devices on which ops cannot be measured. What was measured is not always what a space's graph says: a network that
somebody else built may carry dead branches, compute a tensor twice and multiply by zeros, all of which a space
leaves out. So where the texts of the samples name more than their graphs hold, two descriptions compete on networks
left out: the ops of the graph, and every choice of the text, wherever it stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from hwnas._common._seeds import require_seed
from hwnas._errors import HwnasError, SpaceError
from hwnas._tables._fit_networks import FIXED_PART, FloatArray, IntArray, Networks, choice_op, describe
from hwnas.evaluators import MS_OF, BenchmarkTable, latency_unit
from hwnas.spaces import Architecture, Space
from latency_tables import (
    CORRECTION_SPLIT,
    SESSION,
    Entry,
    LatencyTable,
    NetworkMeasurement,
    Op,
    Price,
    agreement,
    noise_floor,
)
from latency_tables.fitting import AdditiveFit, AdditivePrices, clock_quantum

PROTOCOL = "whole-network-fit-v1"
LEAST_SAMPLES = 10
DEAD_CODE = ("auto", "executed", "removed")
UNSEEN = "never in the samples: priced by its MACs and bytes"
MOST_BATCH = 2**20
_ONE_NETWORK = "fit: all samples are the same network; measure others"
WORTHLESS = "the samples fit best without it"
_FOLDS, _FEW_FOLDS, _MANY_CLASSES = 20, 5, 2000
"""Folds of the predictions on left-out samples; fewer where each holds hundreds of networks anyway."""
_SILENT = 200
"""Classes of networks that are predicted before anybody asks."""
_DRAWS = 100
_IN_FAVOUR = 0.8
_LEAST_SHARE = 0.01
_IGNORED = 0.2


@dataclass(frozen=True)
class Model:
    """Prices fitted to some networks.

    Attributes:
        fit: The prices.
        written: Whether they are of the choices in the texts, not of the graphs' ops.
    """

    fit: AdditiveFit
    written: bool

    def predict(self, networks: Networks, rows: IntArray) -> FloatArray:
        """Return latencies of networks as they were measured, in milliseconds."""
        return self.fit.prices.predict((networks.chosen if self.written else networks.counts)[rows])

    def op_prices(self, networks: Networks, prices: AdditivePrices) -> FloatArray:
        """Return prices of the graphs' ops; those of choices carry over through what they do."""
        return prices.of_work(networks.work) if self.written else prices.prices_ms


def fit_table(
    space: Space,
    csv_path: str | Path,
    *,
    latency_column: str,
    device: str,
    unit: str | None = None,
    batch: int = 1,
    dead_code: str = "auto",
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> LatencyTable:
    """Fit prices of all ops of a space to measured whole networks.

    The samples become the networks of the table's correction, each predicted by a fit that has seen neither it nor an
    isomorphic twin (up to 20 folds), so that the correction and the intervals rest on errors on new networks. Several
    rows of one network are averaged.

    Args:
        space: Reads the column ``arch``.
        csv_path: A ``.csv`` or ``.csv.gz`` file with a header, one network a row (commas, semicolons or tabs between
            cells); disconnected ones are skipped.
        latency_column: Positive numbers.
        device: Name of the device, for the table's identity.
        unit: Unit of the column: ``s``, ``ms``, ``us`` or ``ns``; None for the one that its name ends with, else ms.
        batch: Images of one inference.
        dead_code: What the device did with branches that reach no output: ``executed``, ``removed``, or ``auto`` for
            what predicts left-out samples better.
        seed: Random seed of the bootstrap behind the prices' intervals.
        progress: Receives progress lines.

    Raises:
        HwnasError: The file or a row cannot be used, or there are fewer than 10 networks.
    """
    require_seed(seed)
    _require_known(dead_code, batch)
    unit = latency_unit(latency_column, unit)
    table = BenchmarkTable.load(csv_path)
    groups, archs = _connected(space, table)
    every = table.latencies_ms(latency_column, unit)
    quantum = clock_quantum(every[np.concatenate(groups)] / MS_OF[unit]) * MS_OF[unit]
    latency = np.array([every[rows].mean() for rows in groups])
    progress(f"counting the ops of {len(archs)} networks ({latency_column} is read in {unit})")
    networks = describe(space, archs)
    progress("fitting prices")
    model = fit_model(networks, latency, np.arange(len(archs)), quantum, dead_code)
    left_out = left_out_ms(networks, latency, quantum, dead_code, progress)
    progress("drawing intervals of the prices")
    executed = "executed" if model.written else "removed" if networks.wasteful.any() else "not in the samples"
    return LatencyTable(
        identity={"device": device, "protocol": PROTOCOL, "batch": batch}
        | {"source": Path(csv_path).name, "column": latency_column},
        environment={},
        settings={"unit": unit, "seed": seed, "samples": len(archs), "quantum_ms": quantum, "dead_code": executed},
        space={"name": space.name, "settings": space.settings},
        entries=_entries(networks, model, latency, seed),
        networks=_measurements([table.archs[rows[0]] for rows in groups], networks, latency, left_out),
        notes=(*_notes(networks, model, latency, left_out, quantum), *_row_notes(table, groups)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _require_known(dead_code: str, batch: int) -> None:
    """Refuse an unknown way to treat dead code and an impossible batch size."""
    if dead_code not in DEAD_CODE:
        raise HwnasError(f"fit: --dead-code must be one of {', '.join(DEAD_CODE)}, got {dead_code!r}")
    if not 1 <= batch <= MOST_BATCH:
        raise HwnasError(f"fit: --batch must be 1 to {MOST_BATCH:,}, got {_short(batch)}")


def written_price(table: LatencyTable, space: Space, arch: Architecture) -> Price:
    """Return what a network costs as its text says, with its dead branches where the table's samples had them.

    Raises:
        SpaceError: The architecture is disconnected, or of another space.
        UnmeasuredOpError: The table is of another space.
    """
    if table.settings.get("dead_code") != "executed":
        return table.price(space.graph(arch))
    space.encode(arch)
    counts = Counter([SESSION, FIXED_PART, *map(choice_op, arch.values)])
    return table.corrected_price(table.pricing.counts_ms(counts))


def fit_model(networks: Networks, latency_ms: FloatArray, rows: IntArray, quantum_ms: float, dead_code: str) -> Model:
    """Fit to some of the networks.

    Where their texts name more than their graphs hold, ``auto`` takes the description that predicts left-out networks
    better, with a fifth in favour of the texts: most runtimes execute what they are given.
    """
    models = []
    y = latency_ms[rows]
    if dead_code != "executed" or not networks.choices:
        models.append(Model(AdditiveFit(networks.counts[rows], networks.work, y, quantum_ms=quantum_ms), False))
    if networks.choices and (dead_code == "executed" or (dead_code == "auto" and networks.wasteful[rows].any())):
        fit = AdditiveFit(networks.chosen[rows], networks.choice_work, y, quantum_ms=quantum_ms, refine=False)
        models.append(Model(fit, True))
    return min(models, key=lambda model: model.fit.error * (_IN_FAVOUR if model.written else 1.0))


def left_out_ms(
    networks: Networks,
    latency_ms: FloatArray,
    quantum_ms: float,
    dead_code: str,
    progress: Callable[[str], None] = lambda text: None,
) -> FloatArray:
    """Return prediction ``(n,)`` of each network by a fit to others, isomorphic twins left out with it."""
    predicted, classes = np.empty(len(latency_ms)), int(networks.classes.max()) + 1
    count = _FOLDS if classes <= _MANY_CLASSES else _FEW_FOLDS
    for fold in range(min(count, classes)):
        if classes > _SILENT:
            progress(f"predicting left-out networks: part {fold + 1} of {min(count, classes)}")
        inside = networks.classes % count == fold
        if inside.all():
            raise HwnasError(_ONE_NETWORK)
        model = fit_model(networks, latency_ms, np.flatnonzero(~inside), quantum_ms, dead_code)
        predicted[inside] = model.predict(networks, np.flatnonzero(inside))
    return np.maximum(predicted, 1e-3 * latency_ms)


def twins(classes: IntArray) -> list[tuple[int, int]]:
    """Return pairs of isomorphic networks, each network in one pair at most."""
    waiting: dict[int, int] = {}
    pairs = []
    for row, number in enumerate(classes.tolist()):
        if number in waiting:
            pairs.append((waiting.pop(number), row))
        else:
            waiting[number] = row
    return pairs


def _connected(space: Space, table: BenchmarkTable) -> tuple[list[IntArray], list[Architecture]]:
    """Return networks of the table, as they are written: the rows of each, and what it is."""
    groups: dict[Architecture, list[int]] = {}
    known: dict[str, Architecture | None] = {}
    for row, text in enumerate(table.archs):
        if text not in known:
            known[text] = _network(space, text, f"table {table.path}, row {row + 1}")
        arch = known[text]
        if arch is not None:
            groups.setdefault(arch, []).append(row)
    if len(groups) == 1 and len(table) >= LEAST_SAMPLES:
        raise HwnasError(_ONE_NETWORK)
    if len(groups) < LEAST_SAMPLES:
        raise HwnasError(
            f"table {table.path}: {len(groups)} connected networks; a fit needs {LEAST_SAMPLES} or more: measure others"
        )
    return [np.array(rows, dtype=np.int64) for rows in groups.values()], list(groups)


def _network(space: Space, text: str, place: str) -> Architecture | None:
    """Return the architecture of a text; None where it is disconnected."""
    try:
        arch = space.parse(text)
        valid = bool(space.valid_codes(space.encode(arch)[None])[0])
    except SpaceError as error:
        raise HwnasError(f"{place}: {error}") from None
    return arch if valid else None


def _row_notes(table: BenchmarkTable, groups: Sequence[IntArray]) -> list[str]:
    """Return what became of the rows that are not samples of their own."""
    several, skipped = [len(rows) for rows in groups if len(rows) > 1], len(table) - sum(map(len, groups))
    averaged = f"{len(several)} networks have several rows ({sum(several)} in all); their mean is used"
    notes = [averaged] if several else []
    return notes + ([f"{skipped} rows of disconnected cells skipped"] if skipped else [])


def _short(value: object) -> str:
    """Return a number for people, however long it is."""
    return f"{float(min(value, 10**300)):.3g}" if isinstance(value, int) and value > 10**15 else str(value)


def _entries(networks: Networks, model: Model, latency_ms: FloatArray, seed: int) -> dict[Op, Entry]:
    """Return the rows: session and ops, and the choices where they were fitted."""
    draws = model.fit.resampled(_DRAWS, seed)
    every = [model.fit.prices, *draws]
    columns = [np.array([prices.session_ms for prices in every])[:, None]]
    columns.append(np.array([model.op_prices(networks, prices) for prices in every]))
    ops, counts = [SESSION, *networks.ops], [np.ones((len(latency_ms), 1)), networks.counts]
    if model.written:
        columns.append(np.array([prices.prices_ms for prices in every]))
        ops += networks.choices
        counts.append(networks.chosen)
    bytes_moved = networks.work[:, :, 1].sum(axis=1)
    floors = np.zeros(sum(column.shape[1] for column in columns))
    floors[1 : 1 + len(bytes_moved)] = bytes_moved * np.median(latency_ms / (networks.counts @ bytes_moved))
    table = np.hstack(columns)
    seen = (np.hstack(counts) > 0).sum(axis=0)
    low, high = np.quantile(table[1:], [0.05, 0.95], axis=0)
    entries = {}
    for i, op in enumerate(ops):
        price = float(table[0, i]) if seen[i] else max(float(table[0, i]), _LEAST_SHARE * float(floors[i]))
        reason = UNSEEN if not seen[i] else WORTHLESS if price == 0 else ""
        entries[op] = Entry(
            op=op,
            status="unstable" if reason else "ok",
            q10_ms=price,
            median_ms=price,
            p90_ms=price,
            low_ms=min(price, float(low[i])),
            high_ms=max(price, float(high[i])),
            samples=int(seen[i]),
            stop="fit",
            reason=reason,
        )
    return entries


def _measurements(
    texts: Sequence[str], networks: Networks, latency_ms: FloatArray, left_out: FloatArray
) -> tuple[NetworkMeasurement, ...]:
    repeats = latency_ms.copy()
    for a, b in twins(networks.classes):
        repeats[a], repeats[b] = latency_ms[b], latency_ms[a]
    rows = zip(texts, left_out.tolist(), latency_ms.tolist(), repeats.tolist(), strict=True)
    return tuple(NetworkMeasurement(text, CORRECTION_SPLIT, *times) for text, *times in rows)


def _notes(
    networks: Networks, model: Model, latency_ms: FloatArray, left_out: FloatArray, quantum_ms: float
) -> list[str]:
    """Return remarks for people."""
    fitted = agreement(left_out, latency_ms)
    pairs = np.array(twins(networks.classes)).reshape(-1, 2)
    floor = "unavailable: no two samples are isomorphic"
    if len(pairs):
        noise = noise_floor(latency_ms[pairs[:, 0]], latency_ms[pairs[:, 1]])
        floor = f"median {noise.median:.2%}, p90 {noise.p90:.2%} between {len(pairs)} pairs of isomorphic networks"
    notes = [
        f"fitted to {len(latency_ms)} whole networks; on those left out of the fit: Spearman {fitted.spearman:.3f}, "
        f"MAPE {fitted.mape:.1%}, within 5 % {fitted.within_5:.0%}, within 10 % {fitted.within_10:.0%}",
        f"noise floor {floor}",
    ]
    if model.written:
        notes.append("the samples ran as written, dead branches included; prices of ops are for networks without them")
    if quantum_ms:
        notes.append(f"the clock's resolution is {quantum_ms:g} ms: each latency may be off by half of that")
    ignored = int((model.fit.weights < _IGNORED).sum())
    if ignored:
        notes.append(f"{ignored} samples are so far from the fit that they hardly count; measure them again")
    missing = int((networks.counts.max(axis=0) == 0).sum())
    if missing:
        notes.append(f"{missing} of {len(networks.ops)} ops are in no sample; they are priced by their MACs and bytes")
    return notes

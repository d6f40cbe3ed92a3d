"""Label-setting search for the most probable network within budgets, stage by stage.

A label is a network decided up to some stage: its log probability, its sums and maxima so far, the state of the tensors
that pass on. A label goes where a bound shows that no completion keeps the budgets or beats what is known, or where
another label with the same live choices is at least as good in everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hwnas._costs._space_costs import CROSSINGS
from hwnas.oneshot._resources import Resources, stacked
from hwnas.oneshot._stages import Chain, FloatArray, IntArray, Stage

_CHUNK = 1_000_000
_GRID = 32
_ROUNDS = 3
_NEIGHBOURS = 8


@dataclass(frozen=True)
class _Labels:
    """Labels, one a row: codes ``(n, d)``, log probability, sums, maxima, state of what passes on."""

    codes: npt.NDArray[np.int16]
    log_probability: FloatArray
    sums: FloatArray
    maxima: FloatArray
    state: IntArray

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: npt.NDArray[np.bool_] | IntArray) -> _Labels:
        """Return some of the labels."""
        return _Labels(
            self.codes[rows], self.log_probability[rows], self.sums[rows], self.maxima[rows], self.state[rows]
        )

    @classmethod
    def joined(cls, parts: Sequence[_Labels]) -> _Labels:
        """Return several sets of labels as one."""
        arrays = [(own.codes, own.log_probability, own.sums, own.maxima, own.state) for own in parts]
        codes, log_probability, sums, maxima, state = (np.concatenate(own) for own in zip(*arrays, strict=True))
        return cls(codes, log_probability, sums, maxima, state)


@dataclass(frozen=True)
class _Adds:
    """What the forms of a stage add: log probabilities ``(1, forms)``, sums and maxima ``(names, forms)``."""

    log_probability: FloatArray
    sums: FloatArray
    maxima: FloatArray


@dataclass(frozen=True)
class Found:
    """The end of a search: codes of the best network within budgets, if any, and a bound on what was dropped."""

    codes: IntArray | None
    log_probability: float
    dropped: float


class LabelSearch:
    """Finds the most probable network within budgets.

    Args:
        chain: The stages.
        resources: The budgets.
        log_probabilities: Of each value of each choice, -inf for those of probability 0.
    """

    def __init__(self, chain: Chain, resources: Resources, log_probabilities: Sequence[FloatArray]) -> None:
        self.chain, self.resources = chain, resources
        self._log = log_probabilities
        self._grouped = [chain.grouped(stage) for stage in chain.stages]
        self._adds = [self._of_stage(stage) for stage in chain.stages]
        self._best = chain.completions([own.log_probability for own in self._adds], np.add, np.max, 0.0)
        self._least_sums = chain.completions([own.sums for own in self._adds], np.add, np.min, 0.0)
        self._least_maxima = chain.completions([own.maxima for own in self._adds], np.maximum, np.min, 0.0)
        self._multipliers, self._capacities = self._dual()
        relaxed = [own.log_probability - self._multipliers @ own.sums for own in self._finite()]
        self._relaxed = chain.completions(relaxed, np.add, np.max, 0.0)

    def run(self, most: int, floor: float) -> Found:
        """Search with at most so many labels a stage.

        Args:
            most: Labels that are kept behind a stage; those of the lowest bounds are dropped beyond it.
            floor: Only networks of a greater log probability are looked for.
        """
        labels, dropped = self._start(), -np.inf
        for number in range(len(self.chain.stages)):
            labels = self._expand(labels, number, floor)
            if len(labels) > most:
                labels = self._undominated(labels, number)
            if len(labels) > most:
                bounds = self._bounds(labels, number + 1)
                order = np.argsort(-bounds, kind="stable")
                dropped = max(dropped, float(bounds[order[most]]))
                labels = labels.take(order[:most])
        return self._first_within(labels, dropped)

    def _of_stage(self, stage: Stage) -> _Adds:
        """Work out what forms add; what cannot be in a network within budgets adds -inf and +inf."""
        forms = stage.forms
        codes = np.indices(forms.counts).reshape(len(forms.counts), len(forms.valid))
        log_probability = np.zeros(len(forms.valid))
        allowed = forms.valid.copy()
        for axis, choice in enumerate(forms.choices):
            own = self._log[choice][codes[axis]]
            log_probability += own if choice in stage.new else 0.0
            allowed &= np.isfinite(own)
        sums = stacked(forms.values, self.resources.sums, len(forms.valid))
        maxima = stacked(forms.values, self.resources.maxima, len(forms.valid))
        if forms.crossings_ms is not None and CROSSINGS in self.resources.quantities:
            sums[self.resources.sums.index("op_ms")] += forms.crossings_ms.min(axis=1)
        for number, name in enumerate(self.resources.maxima):
            allowed &= maxima[number] <= self.resources.budgets.get(name, np.inf)
        return _Adds(
            np.where(allowed, log_probability, -np.inf)[None],
            np.where(allowed, sums, np.inf),
            np.where(allowed, maxima, np.inf),
        )

    def _finite(self) -> list[_Adds]:
        """Return what forms add with sums of 0 for those that cannot be chosen: their log probability excludes them."""
        return [replace(own, sums=np.where(np.isfinite(own.sums), own.sums, 0.0)) for own in self._adds]

    def _dual(self) -> tuple[FloatArray, FloatArray]:
        """Find multipliers that make the Lagrangian bound small: a grid, then finer ones, one sum at a time.

        The bound is ``min over m >= 0 of m . capacities + max over networks of (log p - m . sums)``; every m gives one.
        """
        capacities = self.resources.capacities(self._least_sums[0][:, 0], self._least_maxima[0][:, 0])
        best, adds = np.zeros(len(capacities)), self._finite()
        bounded = [n for n, upper in enumerate(capacities) if np.isfinite(upper) and upper > 0]
        if not np.isfinite(self._best[0][0, 0]):
            return best, capacities
        for number in bounded * (1 if len(bounded) == 1 else 2):
            grid = np.concatenate([[0.0], np.geomspace(1e-3, 1e5, _GRID) / capacities[number]])
            for _ in range(_ROUNDS):
                trial = np.tile(best, (len(grid), 1))
                trial[:, number] = grid
                relaxed = self.chain.completions(
                    [own.log_probability - trial @ own.sums for own in adds], np.add, np.max, 0.0
                )
                bounds = trial[:, bounded] @ capacities[bounded] + relaxed[0][:, 0]
                place = int(bounds.argmin())
                best = trial[place]
                grid = np.linspace(grid[max(0, place - 1)], grid[min(len(grid) - 1, place + 1)], _GRID)
        return best, capacities

    def _start(self) -> _Labels:
        """Return the one label before the first stage; choices that no stage reads have their most probable value."""
        read = {choice for stage in self.chain.stages for choice in stage.forms.choices}
        codes = np.array([[int(own.argmax()) for own in self._log]], dtype=np.int16)
        free = sum(float(own.max()) for choice, own in enumerate(self._log) if choice not in read)
        sums, maxima = np.zeros((1, len(self.resources.sums))), np.zeros((1, len(self.resources.maxima)))
        return _Labels(codes, np.array([free]), sums, maxima, np.zeros(1, dtype=np.int64))

    def _expand(self, labels: _Labels, number: int, floor: float) -> _Labels:
        """Return all labels behind a stage that may still be completed within budgets and above the floor."""
        each = self._grouped[number].shape[1]
        step = max(1, _CHUNK // each)
        parts = [
            self._expanded(labels.take(np.arange(start, min(start + step, len(labels)))), number, floor)
            for start in range(0, max(1, len(labels)), step)
        ]
        return _Labels.joined(parts)

    def _expanded(self, labels: _Labels, number: int, floor: float) -> _Labels:
        stage, adds = self.chain.stages[number], self._adds[number]
        forms = self._grouped[number][self.chain.index(labels.codes, self.chain.known(stage))]
        parents, form = np.repeat(np.arange(len(labels)), forms.shape[1]), forms.reshape(-1)
        possible = np.isfinite(adds.log_probability[0, form])
        parents, form = parents[possible], form[possible]
        codes = labels.codes[parents]
        own = np.unravel_index(form, stage.forms.counts) if stage.forms.counts else ()
        for choice, column in zip(stage.forms.choices, own, strict=True):
            codes[:, choice] = column
        sums = labels.sums[parents] + adds.sums[:, form].T
        state = labels.state[parents]
        if stage.forms.crossings_ms is not None and stage.forms.outputs is not None:
            crossings = stage.forms.crossings_ms
            sums[:, self.resources.sums.index("op_ms")] += crossings[form, state] - crossings.min(axis=1)[form]
            state = stage.forms.outputs[form, state]
        maxima = np.maximum(labels.maxima[parents], adds.maxima[:, form].T)
        log_probability = labels.log_probability[parents] + adds.log_probability[0, form]
        following = _Labels(codes, log_probability, sums, maxima, state)
        place = self.chain.index(codes, stage.leaving)
        kept = self._bounds(following, number + 1) > floor
        kept &= self.resources.within(
            sums + self._least_sums[number + 1][:, place].T,
            np.maximum(maxima, self._least_maxima[number + 1][:, place].T),
        )
        return following.take(kept)

    def _bounds(self, labels: _Labels, number: int) -> FloatArray:
        """Return upper bounds ``(n,)`` of the log probability of networks within budgets that complete labels."""
        place = self.chain.index(labels.codes, self.chain.stages[number - 1].leaving)
        plain: FloatArray = labels.log_probability + self._best[number][0, place]
        bounded = self._multipliers > 0
        if not bounded.any():
            return plain
        left = self._capacities[bounded] - labels.sums[:, bounded]
        relaxed = labels.log_probability + left @ self._multipliers[bounded] + self._relaxed[number][0, place]
        lower: FloatArray = np.minimum(plain, relaxed)
        return lower

    def _undominated(self, labels: _Labels, number: int) -> _Labels:
        """Leave out labels that another one with the same live choices and state is as good as in everything.

        Exact for one sum; with more numbers each label is compared with its neighbours in the order of the first.
        """
        group = self.chain.index(labels.codes, self.chain.stages[number].leaving) * (1 + labels.state.max())
        group += labels.state
        numbers = np.concatenate([labels.sums, labels.maxima], axis=1)
        first = numbers[:, 0] if numbers.shape[1] else np.zeros(len(labels))
        order = np.lexsort((-labels.log_probability, first, group))
        group, numbers, value = group[order], numbers[order], labels.log_probability[order]
        kept = np.ones(len(order), dtype=np.bool_)
        if numbers.shape[1] <= 1:
            starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
            for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
                best = np.maximum.accumulate(value[start:end])
                kept[start + 1 : end] = value[start + 1 : end] > best[:-1]
        else:
            for shift in range(1, min(_NEIGHBOURS, len(order) - 1) + 1):
                worse = (group[shift:] == group[:-shift]) & (value[shift:] <= value[:-shift])
                worse &= (numbers[shift:] >= numbers[:-shift]).all(axis=1)
                kept[shift:] &= ~worse
        return labels.take(order[kept])

    def _first_within(self, labels: _Labels, dropped: float) -> Found:
        """Return the most probable network whose real costs keep the budgets."""
        order = np.argsort(-labels.log_probability, kind="stable")
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            codes = labels.codes[rows].astype(np.int64)
            kept = np.array(self.resources.costs.space.valid_codes(codes))
            for key, values in self.resources.real(codes).items():
                kept &= values <= self.resources.budgets[key]
            if kept.any():
                row = int(np.flatnonzero(kept)[0])
                return Found(codes[row], float(labels.log_probability[rows[row]]), dropped)
        return Found(None, -np.inf, dropped)

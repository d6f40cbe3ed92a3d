"""Which ops moved: what the times of whole networks, now over those at a table's making, say about the ops in them.

A network holds dozens of ops and repeats within one percent, and each op is in many networks. An op that became
dearer therefore shows as a slowness of the networks that hold it, in proportion to its share of their time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
LIMIT = 0.11
"""Relative change of an op, or of a kind of ops, below which it is not called changed."""
PLANTED = 0.20
"""Relative change that has to be found: `Deviations.covered` states in which ops it would be."""
ALPHA, SCREEN = 0.02, 0.20
"""Family-wise error rates of the largest deviation over all ops: of the decision, and of the first session."""
SHARED, CHEAPER = 1.35, 1.35
"""Factors of the largest deviation that is noise. The times of a table's making hold noise that all its verifications
share; and other work made networks slower then, never faster, so that what seems cheaper now needs more evidence."""
_PERMUTATIONS = 1000
_CLIP = 4.0
"""Deviations beyond this many standard deviations count as this many."""
_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
_Z95 = 1.645
"""95 % quantile of the normal distribution: what is this far above its tolerance is found 19 times in 20."""
_TESTABLE = 0.15
"""Largest standard error of an op's relative change; above it, networks cannot tell the op from others."""
_ENDS = (0.05, 0.95)
_ALIKE = 0.97
"""Correlation of the shares of two ops above which networks cannot tell which of the two moved."""
OR = " or "
"""Joins the names of ops that networks cannot tell apart."""


@dataclass(frozen=True)
class Move:
    """The change of an op, or of a kind of ops, beside that of the whole machine.

    Attributes:
        name: Key of the op, or the kind; several joined by `OR` where networks cannot tell them apart.
        change: Relative change, if the first of the names moved alone: 0.2 is a fifth dearer.
        error: Standard error of `change`.
        z: The change over its standard error, with far-off networks clipped.
        changes: The same relative change in each session alone.
    """

    name: str
    change: float
    error: float
    z: float
    changes: tuple[float, ...]


@dataclass(frozen=True)
class Deviations:
    """What is left of the networks' slowness after that of the whole machine.

    Attributes:
        slowness: How many times longer networks take now.
        half_width: Half the width of its 90 % interval, relative.
        scale: Standard deviation of a network's log time from what the machine's speed and its own size say.
        repeated: The part of it that is the same in all sessions; 0 with one session.
        tilt: Log slowness of the slowest networks over that of the fastest.
        tilts: The same in each session alone.
        moves: Ops and kinds that the networks can tell from others, by falling `|z|`.
        screen_z: Largest `|z|` over all of them that chance exceeds with probability `SCREEN`.
        critical_z: The same for `ALPHA`, with the noise of the table's making (`SHARED`): for what became dearer.
        sure: Names of the ops and kinds that would be found 19 times in 20 if they became `PLANTED` dearer.
        covered: Share of the networks' time that is in such ops.
    """

    slowness: float
    half_width: float
    scale: float
    repeated: float
    tilt: float
    tilts: tuple[float, ...]
    moves: tuple[Move, ...]
    screen_z: float
    critical_z: float
    sure: frozenset[str]
    covered: float

    def critical(self, change: float) -> float:
        """Return the largest ``|z|`` of a change in this direction that is noise."""
        return self.critical_z * (1.0 if change > 0 else CHEAPER)


def deviations(
    sessions: Sequence[FloatArray],
    then_ms: FloatArray,
    shares: Mapping[str, FloatArray],
    ops: Sequence[str],
    session_sd: float,
    known: Sequence[str] = (),
) -> Deviations:
    """Find what moved beside the machine as a whole.

    The model is ``log(now / then) = b0 + b1 x + b2 x^2 + b3 / then + sum of change * share + noise`` with ``x`` the
    standardised log time of a network: the machine's speed, what small and large networks feel differently (caches,
    neighbours), and what an inference costs beside its ops. Each op is tested alone, on residuals. Permutations of the
    residuals give the distribution of the largest ``|z|`` (Westfall and Young 1993, chapter 2), whatever the noise is
    and however ops depend on each other. `SHARED` widens it: part of the noise is the table's own.

    Args:
        sessions: Log of the time now over that of then, of the networks ``(n,)``, for each session.
        then_ms: Times of the networks at the table's making ``(n,)``.
        shares: Share of ops, and of kinds of ops, in the networks' times ``(n,)``, by name.
        ops: Names among `shares` that are single ops, which together make up the networks.
        session_sd: Standard deviation of a network's log time between sessions.
        known: Names among `shares` whose changes are taken out.
    """
    levels = [float(np.median(session)) for session in sessions]
    centred = [session - level for session, level in zip(sessions, levels, strict=True)]
    combined = np.median(centred, axis=0)
    x = np.log(then_ms)
    x = (x - x.mean()) / max(float(x.std()), 1e-9)
    inference = then_ms.min() / then_ms
    basis = np.stack([np.ones_like(x), x, x**2, inference, *(shares[name] for name in known)], axis=1)
    least = session_sd * np.sqrt(0.5 + 1 / len(sessions))
    coefficients, residual, scale = _robust_fit(basis, combined, least)
    names, features, sizes = _alike(*_testable(basis, shares, scale))
    z, limits = _tested(basis, features, residual)
    order = np.argsort(-np.abs(z), kind="stable")
    error = max(scale, float(np.std(residual))) / np.linalg.norm(features, axis=0) if names else np.zeros(0)
    first = [shares[name.split(OR)[0]] for name in names]
    moves = tuple(_move(names[i], first[i], basis, combined, centred, least, error[i], z[i]) for i in order)
    critical = SHARED * float(limits[1])
    # a change of a joined op counts in terms of the first: less by the ratio of their shares
    least_change = {group: max(LIMIT, critical * e) + _Z95 * e for group, e in zip(names, error, strict=True)}
    sure = frozenset(n for g in names for n in g.split(OR) if sizes[n] * PLANTED >= least_change[g])
    weights = {name: float(shares[name].mean()) for name in ops}
    return Deviations(
        slowness=float(np.exp(np.median(levels))),
        half_width=max(0.003, _Z95 * 1.2533 * scale / float(np.sqrt(len(x)))),
        scale=scale,
        repeated=min(scale, _repeated(basis, centred)),
        tilt=_tilt(x, inference, coefficients),
        tilts=tuple(_tilt(x, inference, _robust_fit(basis, session, least)[0]) for session in centred),
        moves=moves,
        screen_z=float(limits[0]),
        critical_z=critical,
        sure=sure,
        covered=sum(w for name, w in weights.items() if name in sure) / max(sum(weights.values()), 1e-12),
    )


def _robust_fit(basis: FloatArray, values: FloatArray, least: float) -> tuple[FloatArray, FloatArray, float]:
    """Fit `values` by the columns of `basis`, with far-off values clipped.

    Each step replaces values by the fit plus their clipped residual (Huber's pseudo-values, 1981, section 7.8).

    Args:
        basis: Columns ``(n, k)``.
        values: Values ``(n,)``.
        least: Least standard deviation of the residuals.

    Returns:
        Coefficients ``(k,)``, clipped residuals ``(n,)``, and their standard deviation.
    """
    pseudo: FloatArray = values
    scale = least
    coefficients: FloatArray = np.zeros(basis.shape[1])
    for _ in range(10):
        coefficients = np.asarray(np.linalg.lstsq(basis, pseudo, rcond=None)[0])
        fitted: FloatArray = np.asarray(basis @ coefficients)
        residual = np.asarray(values - fitted)
        scale = max(_MAD * float(np.median(np.abs(residual))), least)
        clipped = np.asarray(fitted + np.clip(residual, -_CLIP * scale, _CLIP * scale))
        if np.allclose(clipped, pseudo, rtol=0, atol=1e-4 * scale):
            break
        pseudo = clipped
    return coefficients, np.asarray(pseudo - basis @ coefficients), scale


def _tilt(x: FloatArray, inference: FloatArray, coefficients: FloatArray) -> float:
    """Return what the fit says for the slowest networks less that for the fastest."""
    low, high = np.quantile(x, _ENDS)
    most, least = np.quantile(inference, _ENDS[::-1])
    of_size = coefficients[1] * (high - low) + coefficients[2] * (high**2 - low**2)
    return float(of_size + coefficients[3] * (least - most))


def _testable(basis: FloatArray, shares: Mapping[str, FloatArray], scale: float) -> tuple[list[str], FloatArray]:
    """Return the shares that networks can tell from the machine's speed, without what they share with `basis`."""
    names, columns = [], []
    for name, share in shares.items():
        rest = share - basis @ np.linalg.lstsq(basis, share, rcond=None)[0]
        # the standard error of the change is scale / |rest|; a share that one network alone shows is not tested
        weight = float(rest @ rest)
        if weight > 0 and scale / np.sqrt(weight) <= _TESTABLE and float((rest**2).max()) <= 0.5 * weight:
            names.append(name)
            columns.append(rest)
    return names, np.stack(columns, axis=1) if columns else np.zeros((len(basis), 0))


def _alike(names: Sequence[str], features: FloatArray) -> tuple[list[str], FloatArray, dict[str, float]]:
    """Join what networks cannot tell apart, as the same op in stages that repeat one cell; keep the clearest of each.

    Args:
        names: Names.
        features: Their shares without what the machine's speed explains ``(n, g)``.

    Returns:
        Names of the groups, the clearest first in each; the features of these; and by name, the size of its feature
        over that of its group's first.
    """
    norms = np.linalg.norm(features, axis=0)
    unit = features / np.where(norms > 0, norms, 1.0)
    groups: list[list[int]] = []
    for i in np.argsort(-norms, kind="stable"):
        same = next((group for group in groups if abs(unit[:, group[0]] @ unit[:, i]) > _ALIKE), None)
        if same is None:
            groups.append([int(i)])
        else:
            same.append(int(i))
    sizes = {names[i]: float(norms[i] / norms[group[0]]) for group in groups for i in group}
    joined = [OR.join(names[i] for i in group) for group in groups]
    return joined, features[:, [group[0] for group in groups]], sizes


def _tested(basis: FloatArray, features: FloatArray, residual: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return z of each feature ``(g,)``, and the largest that chance exceeds with probability `SCREEN` and `ALPHA`."""
    if not features.shape[1]:
        return np.zeros(0), np.zeros(2)
    rng = np.random.default_rng(0)
    permuted = np.tile(residual, (_PERMUTATIONS + 1, 1))
    permuted[1:] = rng.permuted(permuted[1:], axis=1)
    # z (1 + permutations, g) = (e F) / |F| / sd(e), with e without what `basis` explains
    q, _ = np.linalg.qr(basis)
    permuted = permuted - (permuted @ q) @ q.T
    sd = np.sqrt((permuted**2).sum(axis=1, keepdims=True) / max(1, len(basis) - basis.shape[1]))
    z = permuted @ (features / np.linalg.norm(features, axis=0)) / np.maximum(sd, 1e-12)
    return z[0], np.quantile(np.abs(z[1:]).max(axis=1), (1 - SCREEN, 1 - ALPHA))


def _move(
    name: str,
    share: FloatArray,
    basis: FloatArray,
    combined: FloatArray,
    sessions: Sequence[FloatArray],
    least: float,
    error: float,
    z: float,
) -> Move:
    """Estimate the change of one op robustly, over all sessions and in each."""
    both = np.concatenate([basis, share[:, None]], axis=1)
    changes = [float(_robust_fit(both, values, least)[0][-1]) for values in (combined, *sessions)]
    return Move(name, changes[0], float(error), float(z), tuple(changes[1:]))


def _repeated(basis: FloatArray, sessions: Sequence[FloatArray]) -> float:
    """Return the standard deviation of the part of the residuals that is the same in each pair of sessions."""
    rest = [values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0] for values in sessions]
    parts = []
    for i, first in enumerate(rest):
        for second in rest[i + 1 :]:
            # cov(a, b) = (var(a + b) - var(a - b)) / 4, with variances from median absolute deviations
            total, difference = (_MAD * float(np.median(np.abs(v))) for v in (first + second, first - second))
            parts.append((total**2 - difference**2) / 4)
    return float(np.sqrt(max(0.0, float(np.median(parts))))) if parts else 0.0

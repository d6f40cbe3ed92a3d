"""What every one-shot method must keep, on a small space with a known loss."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwnas.oneshot import OneShotMethod
from hwnas.spaces import ChoiceGraph, ChoiceGraphSpace, Space
from hwnas.testing._require import errors_as_faults, require
from hwnas.training._checkpoint import content_digest, load_checkpoint, save_checkpoint
from profilers import ops

MakeMethod = Callable[[Space, int], OneShotMethod]
_EPOCHS, _STEPS = 12, 20
_SHARE = 0.8
_TOLERANCE = 1e-9


class KnownSpace(ChoiceGraphSpace):
    """54 networks: two widths, two kernels of three sizes, and a head of three widths."""

    name = "known"

    def state(self) -> ChoiceGraph:
        """State the choices."""
        graph = ChoiceGraph()
        width = graph.choice("width", (8, 16))
        x = graph.read(1, 8, 8)
        for number in range(2):
            kernel = graph.choice(f"kernel{number}", (1, 3, 5))
            x = graph.add(f"conv{number}", ops.conv, x, channels=width, kernel=kernel, act="relu")
        pool = graph.add("pool", ops.global_pool, x)
        features = graph.add("features", ops.linear, pool, features=graph.choice("features", (10, 20, 30)))
        return graph.finish(graph.add("classes", ops.linear, features, features=10))


def check_one_shot_method(make: MakeMethod) -> None:
    """Check a one-shot method.

    Its distributions must be vectors of probabilities for each choice, its draws must follow from the generators that
    it is given alone, a training that is continued from a stored state must end with the same bits, and a known loss
    must become smaller under its distribution, while a cost that counts makes the distribution cheaper.

    Args:
        make: Makes the method anew, from a space and the number of epochs.

    Raises:
        AssertionError: The method breaks the contract.
    """
    with errors_as_faults():
        for check in ONE_SHOT_CHECKS:
            check(make)


def check_attributes(make: MakeMethod) -> None:
    """It has a name, a share below 1, and options that state their defaults."""
    method = make(KnownSpace(), _EPOCHS)
    require(isinstance(method, OneShotMethod), f"{type(method).__name__} must be a subclass of OneShotMethod")
    require(isinstance(method.name, str) and method.name, f"{type(method).__name__}: it must have a name")
    require(0 <= method.share < 1, f"{_owner(method)}: share must be from 0 to below 1, got {method.share!r}")
    require(1 <= method.cycles <= _EPOCHS, f"{_owner(method)}: cycles must be 1 to {_EPOCHS}, got {method.cycles!r}")


def check_distributions(make: MakeMethod) -> None:
    """What it reports and draws are probabilities of each choice; what it reports is float64 and needs no gradient."""
    space = KnownSpace()
    method = _begun(make, space)
    rng = np.random.default_rng(0)
    for epoch in range(_EPOCHS):
        _epoch(method, epoch, _Loss(space), rng)
        for kind, vectors in {"distribution": method.distribution(), "draw": method.draw(rng)}.items():
            _require_probabilities(method, kind, vectors)
        for vectors in method.snapshots():
            _require_probabilities(method, "snapshots", vectors)
        own = method.distribution()
        plain = all(vector.dtype == torch.float64 and not vector.requires_grad for vector in own)
        require(plain, f"{_owner(method)}: distribution must give float64 vectors without gradients")


def check_generators(make: MakeMethod) -> None:
    """Everything random follows from the generators that it is given; torch's own one stays as it is."""
    space = KnownSpace()
    before = torch.get_rng_state()
    runs = [_trained(make, space, seed=seed)[0] for seed in (0, 0)]
    same = content_digest(runs[0].state()) == content_digest(runs[1].state())
    require(same, f"{_owner(runs[0])}: the same generators must give the same training")
    untouched = torch.equal(before, torch.get_rng_state())
    require(untouched, f"{_owner(runs[0])}: it must draw from the generators it is given, not from torch's own")


def check_resumption(make: MakeMethod) -> None:
    """Continued after any epoch from a stored state, it ends with the same bits."""
    space = KnownSpace()
    whole, states = _trained(make, space)
    for cut, state in enumerate(states):
        again = _begun(make, space)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "state.pt"
            save_checkpoint(file, {}, {"method": state})
            stored = load_checkpoint(file, {}, whole=False)
        assert stored is not None  # it was just written
        again.load_state(stored["method"])
        for epoch in range(cut + 1, _EPOCHS):
            _epoch(again, epoch, _Loss(space), np.random.default_rng([0, epoch]))
        same = content_digest(again.state()) == content_digest(whole.state())
        require(same, f"{_owner(again)}: continued after epoch {cut + 1}, the training ends differently")
        kept = content_digest(again.snapshots()) == content_digest(whole.snapshots())
        require(kept, f"{_owner(again)}: continued after epoch {cut + 1}, the snapshots are others")


def check_learning(make: MakeMethod) -> None:
    """The known loss, expected under the distribution, falls well below that of the uniform one."""
    space = KnownSpace()
    loss = _Loss(space)
    method, _ = _trained(make, space)
    uniform = loss.expected([torch.full((n,), 1 / n, dtype=torch.float64) for n in space.cardinalities])
    learned = loss.expected(method.snapshots()[0])
    require(
        learned < _SHARE * uniform,
        f"{_owner(method)}: the expected loss must fall below {_SHARE:g} of the uniform distribution's {uniform:.3f}, "
        f"got {learned:.3f}",
    )


def check_costs(make: MakeMethod) -> None:
    """Where a cost counts that is against the loss, the distribution is cheaper than without."""
    space = KnownSpace()
    dear, _ = _trained(make, space)
    try:
        cheap, _ = _trained(make, space, cost=4.0)
    except NotImplementedError:
        return
    loss = _Loss(space)
    costs = [loss.cost(method.snapshots()[0], 1.0) for method in (cheap, dear)]
    if not any(cheap.learns(epoch) for epoch in range(_EPOCHS)):
        return  # costs come in by `constrain` alone
    require(costs[0] < costs[1], f"{_owner(cheap)}: a cost that counts must make the distribution cheaper, got {costs}")


class _Loss:
    """A loss that is a sum over choices; the greater codes are better and dearer."""

    def __init__(self, space: Space) -> None:
        self._badness = [1.0 - torch.arange(n, dtype=torch.float64) / (n - 1) for n in space.cardinalities]

    def __call__(self, drawn: Sequence[Tensor]) -> Tensor:
        parts = [(own * vector).sum() for own, vector in zip(self._badness, drawn, strict=True)]
        return torch.stack(parts).mean()

    def expected(self, distribution: Sequence[Tensor]) -> float:
        """Return the mean loss of a network that is drawn."""
        return float(self(distribution))

    def cost(self, drawn: Sequence[Tensor], weight: float) -> Tensor:
        """Return a cost, above 1 for all but the worst networks."""
        return weight * (1.01 - self(drawn))


def _owner(method: OneShotMethod) -> str:
    return f"one-shot method {method.name}"


def _require_probabilities(method: OneShotMethod, kind: str, vectors: Sequence[Tensor]) -> None:
    counts = list(method.space.cardinalities)
    shapes = [tuple(vector.shape) for vector in vectors]
    require(shapes == [(n,) for n in counts], f"{_owner(method)}: {kind} must have the shapes {counts}, got {shapes}")
    for vector in vectors:
        values = vector.detach()
        proper = bool((values >= 0).all()) and abs(float(values.sum()) - 1) < _TOLERANCE
        require(proper, f"{_owner(method)}: {kind} must be 0 or more and sum to 1, got {values.tolist()}")


def _begun(make: MakeMethod, space: Space) -> OneShotMethod:
    method = make(space, _EPOCHS)
    method.expect_steps(_STEPS * sum(method.learns(epoch) for epoch in range(_EPOCHS)))
    return method


def _trained(
    make: MakeMethod, space: Space, *, seed: int = 0, cost: float | None = None
) -> tuple[OneShotMethod, list[dict[str, Any]]]:
    """Return a method after all epochs, and its state after each."""
    method, states = _begun(make, space), list[dict[str, Any]]()
    for epoch in range(_EPOCHS):
        _epoch(method, epoch, _Loss(space), np.random.default_rng([seed, epoch]), cost)
        states.append(method.state())
    return method, states


def _epoch(method: OneShotMethod, epoch: int, loss: _Loss, rng: np.random.Generator, cost: float | None = None) -> None:
    """Run an epoch as a training does, with the known loss in place of a network's."""
    method.begin_epoch(epoch, rng)
    for step in range(_STEPS):
        drawn = method.draw(rng)
        if method.learns(epoch):
            priced = None if cost is None else loss.cost(method.priced(), cost)
            method.step(loss(drawn), priced, (epoch + step / _STEPS) / _EPOCHS)
    arch = method.judged()
    value = None
    if arch is not None:
        codes = method.space.encode(arch).tolist()
        counts = method.space.cardinalities
        hot = [torch.eye(n, dtype=torch.float64)[c] for n, c in zip(counts, codes, strict=True)]
        value = 1.0 - loss.expected(hot)
    method.end_epoch(epoch, value, rng)


ONE_SHOT_CHECKS: tuple[Callable[[MakeMethod], None], ...] = (
    check_attributes,
    check_distributions,
    check_generators,
    check_resumption,
    check_learning,
    check_costs,
)
"""All checks of a one-shot method."""

"""Who learns in a one-shot training: one distribution, one for each of several devices, or one for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from hwnas._costs._cost import LATENCY
from hwnas._errors import EvaluatorError
from hwnas.oneshot._aim import Aim
from hwnas.oneshot._method import OneShotMethod
from hwnas.oneshot._record import DeviceRecord, TrainingRecord
from hwnas.oneshot._solve import Solver
from hwnas.spaces import Space

WEIGHTS, DISTRIBUTIONS = range(2)
"""Steps that the members share, each kind by itself."""

AimOrAims = Aim | Mapping[str, Aim] | None
MethodOrMethods = OneShotMethod | Mapping[str, OneShotMethod]


@dataclass(frozen=True)
class Member:
    """A distribution that learns.

    Attributes:
        method: What it learns by.
        aims: What the devices that it serves aim at, by name; of one device without a name.
    """

    method: OneShotMethod
    aims: Mapping[str, Aim | None]

    def cost(self) -> Tensor | None:
        """Return the expected cost of what the method wants priced; None where costs do not count.

        A distribution for several devices counts a cost only where it is the same on all of them.
        """
        aim = next(iter(self.aims.values()))
        useless = len(self.aims) > 1 and not self.method.uses_costs
        return None if aim is None or not aim.counts or useless else aim.share(self.method.priced())

    def constrain(self) -> None:
        """State the hard budgets that hold on all its devices.

        Raises:
            BudgetError: No network meets them.
        """
        first, *others = self.aims.values()
        if first is None:
            return
        budgets = dict(first.budgets)
        if others:  # a bound of latency holds by the table of one device
            budgets = {name: upper for name, upper in budgets.items() if name != LATENCY.name}
        if budgets:
            self.method.constrain(Solver(first.expected.costs), budgets)


class Members:
    """The distributions of a training, which take turns in the steps of the weights and in those of the distributions.

    Args:
        method: One that serves all devices, or one for each of several, by name.
        aim: What one device aims at, or each of several, by the same names.

    Raises:
        EvaluatorError: The names differ, or methods of different kinds are to share weights.
    """

    def __init__(self, method: MethodOrMethods, aim: AimOrAims) -> None:
        aims: Mapping[str, Aim | None] = aim if isinstance(aim, Mapping) else {"": aim}
        if isinstance(method, OneShotMethod):
            self._members: Sequence[Member] = (Member(method, aims),)
        else:
            if list(method) != list(aims) or len({(m.name, m.share, m.cycles) for m in method.values()}) != 1:
                raise EvaluatorError(
                    f"one-shot training: methods of one kind for the devices {', '.join(aims) or 'none'} are needed, "
                    f"got {', '.join(f'{m.name} for {name}' for name, m in method.items()) or 'none'}"
                )
            self._members = tuple(Member(own, {name: aims[name]}) for name, own in method.items())
        self._several = isinstance(aim, Mapping)
        self._turns = [0, 0]

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    @property
    def first(self) -> OneShotMethod:
        """A method that stands for all: they differ in their devices only."""
        return self._members[0].method

    @property
    def identity(self) -> dict[str, object]:
        """What a checkpoint belongs to."""
        aims = {name: aim for member in self for name, aim in member.aims.items()}
        parts: dict[str, dict[str, object]] = {
            name: {"cost": "none"} if aim is None else aim.identity for name, aim in aims.items()
        }
        if not self._several:
            return parts[""]
        return {"devices": f"{', '.join(parts)}; distributions: {len(self)}", "costs": repr(parts)}

    def new_record(self, space: Space, options: Mapping[str, Any]) -> TrainingRecord:
        """Return the record of a training that has not begun."""
        facts = {device: {} if aim is None else aim.facts for member in self for device, aim in member.aims.items()}
        names = [choice.name for choice in space.choices]
        values = [[str(value) for value in choice.values] for choice in space.choices]
        record = TrainingRecord(self.first.name, dict(options), names, values)
        if not self._several:
            return replace(record, **facts[""])
        return replace(record, devices={device: DeviceRecord(**own) for device, own in facts.items()})

    def take_turn(self, kind: int) -> Member:
        """Return whose turn it is in a step of a kind; the next step is that of the next member."""
        member = self._members[self._turns[kind] % len(self)]
        self._turns[kind] += 1
        return member

    def expect_steps(self, steps: int) -> None:
        """Tell each method its share of the steps of the whole training."""
        for member in self:
            member.method.expect_steps(-(-steps // len(self)))

    def state(self) -> dict[str, Any]:
        """Return the states of the methods and whose turn it is."""
        if not self._several:
            return {"method": self.first.state()}
        return {"methods": [member.method.state() for member in self], "turns": list(self._turns)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        states = state["methods"] if self._several else [state["method"]]
        for member, own in zip(self, states, strict=True):
            member.method.load_state(own)
        self._turns = [int(turn) for turn in state["turns"]] if self._several else [0, 0]


def tell_devices_apart(method: OneShotMethod, aims: Mapping[str, Aim]) -> bool:
    """Return whether devices need a distribution each: what the method learns from depends on a device's table."""
    return method.uses_costs and any(aim.is_of_device for aim in aims.values())

"""The interface of every strategy, and the base class of those that have a name in the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from search._arrays import IntArray
from search._context import Context
from search._options import OptionValue, StrategyOption

__all__ = ["NamedStrategy", "Strategy", "Suggestion"]


@dataclass(frozen=True)
class Suggestion:
    """The architectures that a strategy suggests for a batch.

    Attributes:
        codes: Rows ``(k, d)``, best first. The study drops inadmissible rows and duplicates and fills up
            with random candidates, so a strategy may return fewer rows than asked for, or none.
        report: Anything worth inspecting about how they were chosen, as plain dataclasses.
        low_fidelity: Whether they are to be evaluated at low fidelity; there may then be any number of rows.
    """

    codes: IntArray
    report: object | None = None
    low_fidelity: bool = False


class Strategy(Protocol):
    """Proposes the next batch.

    `propose` must be a function of its arguments alone: no state that survives a call may change what a
    later call returns (caches of values that can be recomputed are fine). That is what makes an interrupted
    study continue bit for bit.

    Attributes:
        name: Name of the strategy; a study is restored with a strategy of the same name only.
    """

    name: str

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest architectures.

        Args:
            context: The trials so far, at least one of them successful.
            n: Number of architectures wanted.
            rng: Random generator of the batch.
        """
        ...


class NamedStrategy(ABC):
    """Base class of the strategies that `make_strategy` makes by name.

    The registry finds every class with a `name` of its own in the modules of `search.lamoo` and
    `search.strategies`; a new strategy is one file. Class attributes say what there is to know before one is made.

    Attributes:
        name: Name in the registry; of an instance with options, the name that `make_strategy` gave it.
        packages: Packages that it imports and that not every installation has.
        extra: Extra of hwnas that installs them; empty where hwnas always requires them.
        options: Options that it takes.
        variants: Combinations of options that have a name of their own, by that name.
    """

    name: str
    packages: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    options: ClassVar[tuple[StrategyOption, ...]] = ()
    variants: ClassVar[Mapping[str, Mapping[str, OptionValue]]] = {}

    @classmethod
    def from_options(cls, options: Mapping[str, OptionValue]) -> Strategy:
        """Make the strategy.

        Args:
            options: A checked value for every option. By default they are the arguments of the class.
        """
        maker: Callable[..., Strategy] = cls
        return maker(**options)

    @classmethod
    def packages_for(cls, options: Mapping[str, OptionValue]) -> tuple[str, ...]:
        """List the packages that the strategy needs.

        Args:
            options: A checked value for every option.
        """
        return cls.packages

    @classmethod
    def conflict(cls, given: Mapping[str, OptionValue]) -> str | None:
        """Say why options exclude each other, as the end of an error line; `None` where they do not.

        Args:
            given: The options that differ from their defaults.
        """
        return None

    @abstractmethod
    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest up to `n` architectures; see `Strategy.propose`."""

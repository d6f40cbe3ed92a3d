"""What a search is: every choice that its result depends on, as plain JSON-able data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from hwnas._common._option import renamed
from hwnas._costs._cost import LATENCY, MOST_BOUND, cost_named, cost_of_key, is_bound, name_of_key
from hwnas._errors import HwnasError, RunError
from hwnas._runs._options import (
    DEVICE,
    FINALIZE,
    GOALS,
    LATENCY_STATISTICS,
    MEASURE,
    MEMORY_STATISTICS,
    SETTINGS,
    TRAIN_PRECISION,
    default,
)
from hwnas._runs._several import NamedDevice, read_devices

_CHOICES = {
    "finalize": FINALIZE,
    "goal": GOALS,
    "measure": MEASURE,
    "latency_statistic": LATENCY_STATISTICS,
    "memory_statistic": MEMORY_STATISTICS,
    "train_precision": TRAIN_PRECISION,
}


LOW_FIDELITY_RATIO = 2
"""Low-fidelity evaluations for each full one."""


@dataclass(frozen=True)
class SearchSettings:
    """A search. Two runs with equal settings propose and evaluate the same architectures.

    Each attribute is the option of ``hwnas search`` of the same name, with its default; these state several options
    at once, or hold more than their option says:

    Attributes:
        space_settings: Options of the space (``--space-option`` and its shorthands); what is absent follows from the
            data.
        data_options: Options of how the task reads its data (``--data-option`` and its shorthands).
        image_size: Size to bring images to when they are loaded; None to keep them.
        evaluator_options: Options of the evaluator (``--evaluator-option`` and its shorthands).
        train_precision: Number format of trainings (`TRAIN_PRECISION`); a run holds what ``"auto"`` stood for when it
            began.
        evaluation_threads: Threads that torch evaluates one architecture with; None for its own choice, which depends
            on the machine. Values depend on it in the last bits, and on nothing else of who evaluates.
        strategy_options: Options of the strategy (``--strategy-option``); what is absent has its default.
        minimize: Names of the costs to minimise beside maximising the metric; ``"latency,macs"`` is read, too.
        goal: What is searched for (`GOALS`).
        budgets: Upper bounds by the key of a cost: ``{"latency_ms": 4.0}``.
        offline: Whether the table's device is not available: the search uses its predictions and measures no network.
        devices: Several devices that networks are searched for at once (``--tables``): by name, in order, the latency
            table and the budget of each (``{"table": FILE, "latency_budget_ms": 4.0 or None}``). ``table`` is that of
            the first one then.
        latency_column: Column of a benchmark table that takes the place of a latency table; None otherwise.
        measure: What is timed on the device (`MEASURE`); None to decide by the rest of the search.
        latency_statistic: Statistic of measured latencies (`LATENCY_STATISTICS`); None for the default.
        final_recipe: Settings of the final training (`hwnas.training.Recipe`); what is absent has a default.
        low_fidelity: What evaluates candidates at low fidelity first: another evaluator, or a column of its table.
    """

    device: str = default("device")
    threads: int = default("threads")
    batch: int = default("batch")
    precision: str = default("precision")
    provider: str | None = default("provider")
    protocol: str | None = default("protocol")
    channels_last: bool = default("channels_last")
    space: str = default("space")
    space_settings: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = default("model")
    task: str | None = default("task")
    data: str = default("data")
    data_limit: int | None = default("data_limit")
    image_size: int | None = default("image_size")
    input_scaling: str | None = default("input_scaling")
    data_options: Mapping[str, Any] = field(default_factory=dict)
    evaluator: str = default("evaluator")
    evaluator_options: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = default("weights")
    train_precision: str = default("train_precision")
    evaluation_threads: int | None = default("evaluation_threads")
    strategy: str = default("strategy")
    strategy_options: Mapping[str, Any] = field(default_factory=dict)
    proposals: int = default("proposals")
    low_fidelity: str | None = default("low_fidelity")
    low_fidelity_design: int = default("low_fidelity_design")
    minimize: tuple[str, ...] = default("minimize")
    goal: str = default("goal")
    budgets: Mapping[str, float] = field(default_factory=dict)
    samples: int = default("samples")
    seed: int = default("seed")
    table: str | None = default("table")
    devices: Mapping[str, Any] = field(default_factory=dict)
    offline: bool = default("offline")
    latency_column: str | None = default("latency_column")
    measure: str | None = default("measure")
    latency_statistic: str | None = default("latency_statistic")
    memory_statistic: str = default("memory_statistic")
    finalize: str = default("finalize")
    final_recipe: Mapping[str, Any] = field(default_factory=dict)
    warm_start: str | None = default("warm_start")
    begin_with: tuple[str, ...] = default("begin_with")

    def __post_init__(self) -> None:
        names = SETTINGS["minimize"].read(self.minimize)
        object.__setattr__(self, "minimize", tuple(cost_named(name).name for name in names))
        object.__setattr__(self, "begin_with", SETTINGS["begin_with"].read(self.begin_with))
        if not self.minimize or len(set(self.minimize)) != len(self.minimize):
            raise HwnasError("--minimize needs at least one cost, and each only once")
        for name, option in SETTINGS.items():
            if getattr(self, name) is not None:
                option.require(getattr(self, name))
        for key, upper in self.budgets.items():
            if cost_of_key(key) is None:
                raise HwnasError(f"unknown cost {key!r} in budgets")
            if not is_bound(upper):
                raise HwnasError(
                    f"the budget of {name_of_key(key)} must be a positive number up to {MOST_BOUND:g}, got {upper}"
                )
        self._require_agreement()
        self._require_devices()

    def _require_agreement(self) -> None:
        """Refuse settings that need others.

        Raises:
            HwnasError: One is given without what it needs.
        """
        if self.low_fidelity is not None and self.strategy != "lamoo":
            raise HwnasError(f"--low-fidelity needs --strategy lamoo, got --strategy {self.strategy}")
        if self.goal == "best" and not self.budgets and not self.devices:
            raise HwnasError(
                "--goal best needs a budget, like --latency-budget 4ms; without one, the largest network is mostly best"
            )
        if self.offline and self.table is None:
            raise HwnasError("--offline needs --table FILE, the table of the device that is not available")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in (None, *choices):
                words = f"{', '.join(choices[:-1])} or {choices[-1]}"
                raise HwnasError(f"--{name.replace('_', '-')} must be {words}, got {getattr(self, name)!r}")
        if self.measure in ("trials", "winners") and self.offline:
            raise HwnasError(f"--measure {self.measure} needs the device, but --offline says that it is not available")
        if self.measure == "trials" and self.latency_column is not None:
            raise HwnasError(
                "--measure trials times networks on the device, but --latency-column takes latencies from the "
                "benchmark table; leave one of them out"
            )
        if self.final_recipe and self.finalize == "none":
            raise HwnasError("--final-epochs and --final-recipe need --finalize finetune, distil or train")

    def _require_devices(self) -> None:
        """Refuse settings that a search for several devices cannot have.

        Raises:
            HwnasError: Naming the setting.
        """
        if not self.devices:
            return
        devices = read_devices(self.devices)
        if self.table is None or LATENCY.name not in self.minimize or LATENCY.key in self.budgets:
            raise HwnasError("--tables needs latency among --minimize, and the budget of each device")
        if self.goal == "best":
            raise HwnasError("--goal best searches for one device; leave --tables out, or search with --goal front")
        if self.measure == "trials":
            raise HwnasError(
                f"--measure trials measures one device, but --tables names {len(devices)}; use winners (the default), "
                "which measures what is delivered on each"
            )
        if self.latency_column is not None:
            raise HwnasError("--latency-column takes latencies from a benchmark table; leave --tables out")
        if self.memory_statistic != default("memory_statistic"):
            raise HwnasError("--memory-statistic arena is measured on one device; leave --tables out")

    @property
    def several(self) -> tuple[NamedDevice, ...]:
        """The devices of a search for several; empty for one."""
        return read_devices(self.devices)

    @property
    def strategy_name(self) -> str:
        """The strategy as `search` knows it."""
        return f"{self.strategy}-cheap" if self.low_fidelity is not None and not self.opens_cheaply else self.strategy

    @property
    def all_strategy_options(self) -> dict[str, Any]:
        """Options of the strategy, those of low fidelity included."""
        if not self.opens_cheaply:
            return dict(self.strategy_options)
        cheap = {"low_fidelity_ratio": LOW_FIDELITY_RATIO, "low_fidelity_design": self.low_fidelity_design}
        return {**cheap, **self.strategy_options}

    @property
    def opens_cheaply(self) -> bool:
        """Whether the search begins with a random design at low fidelity."""
        return self.low_fidelity is not None and self.low_fidelity_design > 0

    @property
    def measuring(self) -> dict[str, Any]:
        """The device and how it measures, as keywords of `make_backend`."""
        return {option.name: getattr(self, option.name) for option in DEVICE}

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {**asdict(self), "minimize": list(self.minimize), "begin_with": list(self.begin_with)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> SearchSettings:
        """Read what `as_dict` wrote, by this or an earlier version.

        Raises:
            RunError: A field is unknown or has the wrong type.
        """
        try:
            _require_texts("minimize", record["minimize"], "names")
            _require_texts("begin_with", record.get("begin_with", []), "texts")
            require_budgets(record.get("budgets", {}))
            given = renamed(SETTINGS.values(), record)
            given = {**_before_measuring(given), **_before_precisions(given), **given, **_before_tasks(given)}
            for item in fields(cls):
                if given.get(item.name, 0) is None and default(item.name) is not None:
                    raise TypeError(f"{item.name} is None")
            return cls(**given)
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError, HwnasError) as error:
            raise RunError(f"the run's settings cannot be read: {error!s:.200}") from None


def _require_texts(name: str, value: object, what: str) -> None:
    if not isinstance(value, list) or any(not isinstance(text, str) for text in value):
        raise TypeError(f"{name} is not a list of {what}")


def _before_measuring(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what versions did that did not write these settings."""
    measure = "none" if record.get("offline") else "winners"
    design = {} if record.get("low_fidelity") is None else {"low_fidelity_design": 0}
    return {"measure": measure, "latency_statistic": "q10", **design}


def _before_precisions(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the number format of trainings of a version that had no choice."""
    return {"train_precision": "bf16" if str(record.get("device")).startswith("cuda") else "fp32"}


def _before_tasks(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the task of a run of a version that read all data as images, whatever they look like now."""
    return {"task": "image"} if "data_options" not in record and record.get("task") is None else {}


def require_budgets(budgets: object) -> Mapping[str, float]:
    """Return upper bounds by the key of a cost, as a file holds them.

    Raises:
        ValueError: They are none.
    """
    if not isinstance(budgets, Mapping) or not all(
        isinstance(key, str) and is_bound(value) for key, value in budgets.items()
    ):
        raise ValueError(f"{budgets!r} are not budgets")
    for key in budgets:
        if cost_of_key(key) is None:
            raise ValueError(
                f"the cost {key[:60]!r} of its budgets is not known here; install the plug-in that adds it"
            )
    return budgets

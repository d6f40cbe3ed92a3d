"""What a search is: every choice that its result depends on, as plain JSON-able data."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from hwnas._errors import HwnasError, RunError

if TYPE_CHECKING:
    from profilers import Backend

OBJECTIVES = {"latency": "latency_ms", "macs": "macs", "params": "params", "memory": "peak_memory_bytes"}
"""Names of costs on the command line, and the costs they stand for."""
FINALIZE = ("none", "finetune", "train")
"""Final training: none, from the weights that the search has, or from scratch."""
_LATENCY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(us|ms|s)?\Z", re.ASCII)
_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kMG]?)B?\Z")
_MOST = 1e300
_LATENCY_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_MOST_MS, _MOST_COUNT = 1e9, 1e18
"""Beyond these no budget makes sense: eleven days, and more bytes than there are."""
_LIMITS = {"samples": (1, 10**9), "proposals": (1, 10**6), "evaluation_threads": (1, 4096), "seed": (0, 2**63 - 1)}
_COUNT_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class SearchSettings:
    """A search. Two runs with equal settings propose and evaluate the same architectures.

    Attributes:
        device: where networks are measured: ``"cpu"``, ``"cuda"``, ``"cuda:N"``, ``"ssh://[user@]host[:port]"``.
        threads: threads inside an operator while measuring on a CPU.
        batch: images of one inference.
        precision: of the networks that are measured and shipped.
        provider: ONNX Runtime's execution provider; None for its CPU provider.
        protocol: of a GPU's measurements; None for ``"host"``.
        channels_last: memory format on a GPU.
        space: name of the space.
        space_settings: its settings; what is absent follows from the data.
        task: what networks are for (see `hwnas.tasks`); None for what the data are made for.
        data: data set (see `hwnas.data.load_data`).
        data_limit: use at most this many samples of each part; None for all.
        image_size: size to bring images to when they are loaded; None to keep them.
        evaluator: where values of the metric come from.
        evaluator_options: its options.
        evaluation_threads: threads that torch evaluates one architecture with; None for its own choice, which depends
            on the machine. Values depend on it in the last bits, and nothing else of them on who evaluates.
        strategy: what proposes architectures.
        proposals: architectures that it proposes at once, on what is known of those before.
        cheap: a cheap stand-in for the evaluator: another evaluator, or a column of its table; None for none.
        minimize: costs to minimise beside the metric (keys of `OBJECTIVES`); ``"latency,macs"`` is read, too.
        budgets: upper bounds, by cost name (values of `OBJECTIVES`).
        samples: architectures to evaluate.
        seed: of everything random.
        table: file of the latency table; None to find or build one.
        not_here: whether the table is of a device that is not here: the search uses its predictions, and no network
            is measured.
        latency_column: column of a benchmark table that takes the place of a latency table; None otherwise.
        finalize: what happens to the picked networks before they are handed over (one of `FINALIZE`).
        final_recipe: settings of that training (`hwnas.training.Recipe`); what is absent has a default.
        warm_start: folder of another run, whose trials are the first ones of this search; None for none.
    """

    device: str = "cpu"
    threads: int = 1
    batch: int = 1
    precision: str = "fp32"
    provider: str | None = None
    protocol: str | None = None
    channels_last: bool = False
    space: str = "mobilenetv3"
    space_settings: Mapping[str, Any] = field(default_factory=dict)
    task: str | None = None
    data: str = "digits"
    data_limit: int | None = None
    image_size: int | None = None
    evaluator: str = "supernet"
    evaluator_options: Mapping[str, Any] = field(default_factory=dict)
    evaluation_threads: int | None = None
    strategy: str = "lamoo"
    proposals: int = 5
    cheap: str | None = None
    minimize: tuple[str, ...] = ("latency",)
    budgets: Mapping[str, float] = field(default_factory=dict)
    samples: int = 200
    seed: int = 0
    table: str | None = None
    not_here: bool = False
    latency_column: str | None = None
    finalize: str = "none"
    final_recipe: Mapping[str, Any] = field(default_factory=dict)
    warm_start: str | None = None

    def __post_init__(self) -> None:
        given: object = self.minimize
        if isinstance(given, str):  # a string is a sequence too, of letters
            object.__setattr__(self, "minimize", tuple(name.strip() for name in given.split(",")))
        for name in self.minimize:
            if name not in OBJECTIVES:
                raise HwnasError(f"unknown cost {name!r} in --minimize; known costs: {', '.join(OBJECTIVES)}")
        if not self.minimize or len(set(self.minimize)) != len(self.minimize):
            raise HwnasError("--minimize wants at least one cost, and each once")
        for name, (least, most) in _LIMITS.items():
            value, option = getattr(self, name), f"--{name.replace('_', '-')}"
            if value is not None and value < least:
                raise HwnasError(f"{option} must be {least} or more, got {value}")
            if value is not None and value > most:
                raise HwnasError(f"{option} must be {most} or less, got {_short(value)}")
        for cost, upper in self.budgets.items():
            if not 0 < upper <= _MOST:
                raise HwnasError(f"the budget of {cost} must be a number above 0 and at most {_MOST:g}, got {upper}")
        if self.cheap is not None and self.strategy != "lamoo":
            raise HwnasError(f"--cheap goes with --strategy lamoo, not {self.strategy}")
        if self.not_here and self.table is None:
            raise HwnasError("--not-here goes with --table FILE, a table of the device that is not here")
        if self.finalize not in FINALIZE:
            raise HwnasError(f"--finalize must be {', '.join(FINALIZE[:-1])} or {FINALIZE[-1]}, not {self.finalize!r}")
        if self.final_recipe and self.finalize == "none":
            raise HwnasError("--final-epochs and --final-recipe go with --finalize finetune or train")

    @property
    def strategy_name(self) -> str:
        """The strategy as `search` knows it."""
        return self.strategy if self.cheap is None else f"{self.strategy}-cheap"

    def backend(self, image_channels: int = 3, progress: Callable[[str], None] = lambda text: None) -> Backend:
        """What networks are measured with; `progress` receives a line for each lost connection.

        Raises:
            HwnasError, DeviceUnavailableError: as `make_backend`.
        """
        from hwnas._devices._make import make_backend

        return make_backend(
            self.device,
            threads=self.threads,
            batch=self.batch,
            image_channels=image_channels,
            precision=self.precision,
            provider=self.provider,
            protocol=self.protocol,
            channels_last=self.channels_last,
            progress=progress,
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "minimize": list(self.minimize)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> SearchSettings:
        """Read what `as_dict` wrote.

        Raises:
            RunError: a field is unknown or of the wrong type.
        """
        try:
            minimize = record["minimize"]
            if not isinstance(minimize, list) or any(not isinstance(name, str) for name in minimize):
                raise TypeError("minimize is no list of names")
            found = cls(**{**record, "minimize": tuple(minimize)})
            _require_types(found)
            return found
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise RunError(f"the run's settings cannot be read: {error!s:.200}") from None


def require_budgets(budgets: object) -> Mapping[str, float]:
    """Upper bounds by cost name, as a file holds them.

    Raises:
        ValueError: they are none.
    """
    known = tuple(OBJECTIVES.values())
    if not isinstance(budgets, Mapping) or any(
        name not in known or type(value) not in (int, float) or not 0 < value <= _MOST
        for name, value in budgets.items()
    ):
        raise ValueError(f"{budgets!r} are no budgets")
    return budgets


def _require_types(settings: SearchSettings) -> None:
    """Raise `TypeError` or `ValueError` for a field of another type than its default's (None is also a string)."""
    optional = {"data_limit": int, "image_size": int, "evaluation_threads": int}
    for item in fields(settings):
        value = getattr(settings, item.name)
        default = item.default if item.default is not MISSING else {}
        kind = (
            Mapping if isinstance(default, dict) else optional.get(item.name, str if default is None else type(default))
        )
        if not (isinstance(value, kind) or (value is None and default is None)) or (
            kind is int and isinstance(value, bool)
        ):
            raise TypeError(f"{item.name} is {value!r}")
    require_budgets(settings.budgets)


def parse_latency(text: str) -> float:
    """Milliseconds of ``"4ms"``, ``"250us"`` or ``"0.1s"``.

    Raises:
        HwnasError: it is none of these; a number without a unit could be any of them.
    """
    match = _LATENCY.match(text.strip())
    if match is None or float(match.group(1)) <= 0:
        raise HwnasError(f"cannot read the latency {_short(text)}; write it like 4ms, 250us or 0.1s")
    if match.group(2) is None:
        number = match.group(1) if len(match.group(1)) <= 20 else "4"
        raise HwnasError(f"the latency {_short(text)} has no unit; write {number}ms or {number}us")
    found = float(match.group(1)) * _LATENCY_UNITS[match.group(2)]
    if not 0 < found <= _MOST_MS:
        raise HwnasError(f"the latency {_short(text)} is beyond all sense; write it like 4ms, 250us or 0.1s")
    return found


def parse_count(text: str) -> float:
    """A number like ``"2M"``, ``"600k"`` or ``"1.5G"``.

    Raises:
        HwnasError: it is none.
    """
    match = _COUNT.match(text.strip())
    if match is None or float(match.group(1)) <= 0:
        raise HwnasError(f"cannot read the amount {_short(text)}; write it like 600k, 2M or 1.5G")
    found = float(match.group(1)) * _COUNT_UNITS[match.group(2)]
    if not 0 < found <= _MOST_COUNT:
        raise HwnasError(f"the amount {_short(text)} is beyond all sense; write it like 600k, 2M or 1.5G")
    return found


def _short(value: object) -> str:
    """As much of a value as fits into a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def parse_recipe(option: str, text: str) -> dict[str, Any]:
    """Settings of a training like ``"cutout=0.5,flip=true,epochs=30"`` by name; `Recipe` checks them.

    Raises:
        HwnasError: it cannot be read, or names a setting twice.
    """
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if not name or not value or name in found:
            raise HwnasError(f"cannot read {option} {text!r}; write each setting once, like cutout=0.5,mixup=0.2")
        found[name] = _setting(value)
        if isinstance(found[name], float) and not math.isfinite(found[name]):
            raise HwnasError(f"{option}: {name} must be a finite number, got {_short(value)}")
    return found


def _setting(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

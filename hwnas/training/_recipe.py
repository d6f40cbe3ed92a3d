"""`Recipe`: the settings of one training, with defaults that follow from the task and the size of its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields

from hwnas._errors import EvaluatorError
from hwnas.tasks import Task, require_number
from hwnas.training._sampling import SAMPLINGS

StepProgress = Callable[[int, int, str], None]
"""Called with steps done, steps in all and one line of text."""

RATES = {"sgd": 0.1, "adamw": 0.002}
"""Optimisers, each with the learning rate that it has by default."""
OPTIMIZERS = tuple(RATES)
PRECISIONS = ("fp32", "bf16")
TEACHERS = ("largest", "teacher")
"""Who teaches the subnets of a supernet but the largest."""
_RANGES = {
    "learning_rate": (1e-9, 1e3),
    "warmup": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "clip": (1e-9, 1e9),
    "average": (0.0, 0.999999),
    "random_subnets": (0, 64),
    "teacher_weight": (0.0, 1e3),
    "small_first": (0.0, 0.95),
}
_LATER = {"teacher_weight": 1.0, "taught_by": "teacher", "train_precision": None, "small_first": 0.0}
"""Defaults of settings that earlier versions did not have; runs of these do not name them."""


@dataclass(frozen=True)
class Recipe:
    """How a network or a supernet is trained.

    Attributes:
        epochs: Passes over the train part.
        batch_size: Samples a step.
        optimizer: ``"sgd"`` (Nesterov momentum 0.9) or ``"adamw"``.
        learning_rate: Its peak; it rises over `warmup` of all steps and falls to 0 along a cosine.
        warmup: Share of all steps.
        weight_decay: On weights of convolutions and linear layers; not on norms and biases.
        clip: Largest 2-norm of the gradient.
        average: Decay of a moving average of the weights, which is then the result; 0 for none.
        random_subnets: Subnets a step besides the largest and the smallest (supernets alone).
        sampling: How these are drawn (supernets alone): ``"uniform"``, or the best (``"bestup"``) or worst
            (``"worstup"``) of `candidates` networks of nearly one cost.
        candidates: Networks that one is chosen from where `sampling` is not uniform.
        teacher_weight: Weight of the distance to the teacher's outputs beside the task's own loss, where there is a
            teacher.
        taught_by: Whose outputs the subnets but the largest learn (supernets with a teacher alone): the
            ``"teacher"``'s, which are right from the first step, or those of the ``"largest"`` subnet.
        train_precision: Number format of products and activations, ``"fp32"`` or ``"bf16"`` (`computing`); None for
            what versions did that had no choice: float32 on a CPU, bfloat16 on a GPU.
        small_first: Share of the epochs, the first ones, whose images have three quarters of their height and width
            (progressive resizing: Tan and Le 2021, arXiv 2104.00298, section 4); 0 for none. Networks that are trained
            alone, and end in a global pooling, can do that; others are refused.
        task_settings: Values of the task's own options by name (`Task.options`): augmentation, parts of the loss.

    Raises:
        EvaluatorError: A setting is impossible.
    """

    epochs: int
    batch_size: int
    optimizer: str = "sgd"
    learning_rate: float = RATES["sgd"]
    warmup: float = 0.1
    weight_decay: float = 1e-4
    clip: float = 5.0
    average: float = 0.0
    random_subnets: int = 2
    sampling: str = "uniform"
    candidates: int = 3
    teacher_weight: float = 1.0
    taught_by: str = "teacher"
    train_precision: str | None = None
    small_first: float = 0.0
    task_settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise EvaluatorError(f"training: unknown optimizer {self.optimizer!r}; known: {', '.join(OPTIMIZERS)}")
        if self.sampling not in SAMPLINGS:
            raise EvaluatorError(f"training: unknown sampling {self.sampling!r}; known: {', '.join(SAMPLINGS)}")
        if self.taught_by not in TEACHERS:
            raise EvaluatorError(f"training: unknown taught_by {self.taught_by!r}; known: {', '.join(TEACHERS)}")
        if self.train_precision not in (None, *PRECISIONS):
            raise EvaluatorError(
                f"training: unknown train_precision {self.train_precision!r}; known: {', '.join(PRECISIONS)}"
            )
        for name in ("epochs", "batch_size", "candidates"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise EvaluatorError(f"training: {name} must be a positive integer, got {value!r}")
        if type(self.random_subnets) is not int:
            raise EvaluatorError(f"training: random_subnets must be a whole number, got {self.random_subnets!r}")
        for name, (low, high) in _RANGES.items():
            require_number(name, getattr(self, name), low, high)

    @property
    def small_epochs(self) -> int:
        """How many epochs, the first ones, see smaller images; the last epoch never does."""
        return min(round(self.small_first * self.epochs), self.epochs - 1)

    def require_one_size(self) -> None:
        """Raise `EvaluatorError` where the first epochs would see smaller images: shared weights see one size."""
        if self.small_epochs:
            raise EvaluatorError(
                f"training: small_first={self.small_first:g} is for networks that are trained alone "
                "(--evaluator train, --finalize train), not for shared weights; leave it out"
            )

    def as_dict(self) -> dict[str, object]:
        """Return JSON-able settings, the task's own beside the others; what is later than runs may be, if chosen."""
        settings = asdict(self)
        own = settings.pop("task_settings")
        chosen = {name: value for name, value in settings.items() if name not in _LATER or value != _LATER[name]}
        return {**chosen, **own}


def recipe_settings(task: Task | None = None) -> tuple[str, ...]:
    """Return names of all settings of a training for a task; without a task, of those that every training has."""
    common = [item.name for item in fields(Recipe) if item.name != "task_settings"]
    return (*common, *(task.options if task is not None else ()))


def default_recipe(task: Task, **changes: object) -> Recipe:
    """Return the recipe for a task, the same for supernets and single networks, with some settings changed.

    Args:
        task: Its data decide how many epochs there are; it may bring settings of its own.
        changes: Settings by name (`recipe_settings`); None stands for the default.

    Raises:
        EvaluatorError: An unknown or impossible setting.
    """
    known = recipe_settings(task)
    for name in changes:
        if name not in known:
            raise EvaluatorError(f"training has no setting {name!r}; known settings: {', '.join(known)}")
    values: dict[str, object] = {name: option.default for name, option in task.options.items()}
    values |= task.default_recipe()
    chosen = {name: value for name, value in changes.items() if value is not None}
    if "optimizer" in chosen and chosen["optimizer"] != values.get("optimizer"):
        values["learning_rate"] = RATES.get(str(chosen["optimizer"]))  # a rate belongs to an optimiser
    values |= chosen
    own = {name: values.pop(name) for name in task.options}
    for name, value in own.items():
        task.options[name].require(name, value)
    options = task.options.items()
    named = {name: own[name] for name, option in options if not option.later or own[name] != option.default}
    return Recipe(**values, task_settings=named)  # type: ignore[arg-type]

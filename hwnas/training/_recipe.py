"""`Recipe`: the settings of one training, with defaults that follow from the size of the data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

from hwnas._errors import EvaluatorError
from hwnas.data import ImageData
from hwnas.training._sampling import SAMPLINGS

StepProgress = Callable[[int, int, str], None]
"""Called with steps done, steps in all and one line of text."""

OPTIMIZERS = ("sgd", "adamw")
IMAGES_SEEN = 15_000
"""Small data sets are passed over until a training has seen this many images: about 450 steps, after which the subnets
of a `tiny` supernet differ by what they can do rather than by how often they were drawn."""
FEWEST_EPOCHS, MOST_EPOCHS = 5, 100
SMALL = 4_000
"""Below this many train images small batches (more steps) do better."""


@dataclass(frozen=True)
class Recipe:
    """How a network or a supernet is trained.

    Attributes:
        epochs: passes over the train images.
        batch_size: images a step.
        optimizer: ``"sgd"`` (Nesterov momentum 0.9) or ``"adamw"``.
        learning_rate: its peak; it rises over `warmup` of all steps and falls to 0 along a cosine.
        warmup: share of all steps.
        weight_decay: on weights of convolutions and linear layers; not on norms and biases.
        label_smoothing: of the targets of the labels.
        clip: largest 2-norm of the gradient.
        shift: augmentation: images move by up to this share of their size along each axis, edges repeated.
        flip: augmentation: half of the images are mirrored left to right. Not for digits, text, maps.
        cutout: augmentation: side of a square that is blanked, as a share of the image's; 0 for none.
        mixup: augmentation: alpha of the beta distribution that images are blended with; 0 for none.
        average: decay of a moving average of the weights, which is then the result; 0 for none.
        random_subnets: subnets a step besides the largest and the smallest (supernets alone).
        sampling: how these are drawn (supernets alone): ``"uniform"``, or the best (``"bestup"``) or worst
            (``"worstup"``) of `candidates` networks of nearly one cost.
        candidates: networks that one is chosen from where `sampling` is not uniform.
    """

    epochs: int
    batch_size: int
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    warmup: float = 0.1
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    clip: float = 5.0
    shift: float = 0.125
    flip: bool = False
    cutout: float = 0.0
    mixup: float = 0.0
    average: float = 0.0
    random_subnets: int = 2
    sampling: str = "uniform"
    candidates: int = 3

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise EvaluatorError(f"training: unknown optimizer {self.optimizer!r}; known: {', '.join(OPTIMIZERS)}")
        if self.sampling not in SAMPLINGS:
            raise EvaluatorError(f"training: unknown sampling {self.sampling!r}; known: {', '.join(SAMPLINGS)}")
        for name in ("epochs", "batch_size", "candidates"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise EvaluatorError(f"training: {name} must be a positive integer, not {value!r}")
        if type(self.flip) is not bool:
            raise EvaluatorError(f"training: flip must be true or false, not {self.flip!r}")
        ranges = {
            "learning_rate": (1e-9, 1e3),
            "warmup": (0.0, 1.0),
            "weight_decay": (0.0, 1.0),
            "label_smoothing": (0.0, 0.9),
            "clip": (1e-9, 1e9),
            "shift": (0.0, 0.5),
            "cutout": (0.0, 1.0),
            "mixup": (0.0, 10.0),
            "average": (0.0, 0.999999),
            "random_subnets": (0, 64),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise EvaluatorError(f"training: {name} must lie in {low:g}-{high:g}, not at {value!r}")

    def as_dict(self) -> dict[str, object]:
        """JSON-able settings."""
        return asdict(self)


def default_recipe(data: ImageData, **changes: object) -> Recipe:
    """The recipe for a data set, the same for supernets and single networks, with some settings changed.

    Args:
        data: the data set; its size decides how many epochs there are, its channels whether images are mirrored.
        changes: fields of `Recipe`; None stands for the default.

    Raises:
        EvaluatorError: an unknown or impossible setting.
    """
    known = [field.name for field in fields(Recipe)]
    for name in changes:
        if name not in known:
            raise EvaluatorError(f"training has no setting {name!r}; it takes {', '.join(known)}")
    count = len(data.train)
    values: dict[str, object] = {
        "epochs": min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(IMAGES_SEEN / count))),
        "batch_size": min(32 if count < SMALL else 64, count),
        "flip": data.channels == 3,
    }
    values |= {name: value for name, value in changes.items() if value is not None}
    return Recipe(**values)  # type: ignore[arg-type]

"""The options of a search and of what it measures, each stated once.

From these entries follow the command line, what `hwnas.search` and `hwnas.profile` take, the types and limits of
`SearchSettings`, and the page on commands. Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hwnas._common._option import (
    ANY,
    NAMED_VALUES,
    NAMES,
    NUMBER,
    NUMBER_LIST,
    PATH,
    PATH_LIST,
    RECIPE,
    SWITCH,
    TEXT,
    TEXTS,
    WHOLE,
    WHOLE_LIST,
    Option,
)
from hwnas._common._seeds import MOST_SEED
from hwnas._costs._cost import COSTS, LATENCY, cost_names

FINALIZE = ("none", "finetune", "distil", "train")
"""Final training: none, from the weights that the search has, the same with a teacher, or from scratch."""
GOALS = ("front", "best")
"""What a search is for: the trade-offs of the metric and the minimised costs, or the best network within budgets."""
CONTINUES = ("finetune", "distil")
"""Final trainings that start from the weights that the search has."""

TRAIN_PRECISION = ("auto", "fp32", "bf16")
"""Number formats of trainings."""

THREADS = Option("threads", "CPU threads inside an operator (intra-op); times are steadiest with 1", WHOLE, 1, "device")
BATCH = Option("batch", "samples (images, signals, clips) per inference", WHOLE, 1, "device")
DEVICE = (
    Option("device", "device to measure on: cpu, cuda, cuda:N or ssh://[user@]host[:port]", TEXT, "cpu", "device"),
    THREADS,
    BATCH,
    Option(
        "precision",
        "number format: fp32; on a CPU also int8 and mixed (fp32 or int8 for each block); on a GPU also fp16 and bf16",
        TEXT,
        "fp32",
        "device",
    ),
    Option("provider", "CPU: ONNX Runtime execution provider (see `hwnas devices`)", TEXT, group="device"),
    Option(
        "protocol", "GPU: host (the default: eager launches) or kernel (replay of a CUDA graph)", TEXT, group="device"
    ),
    Option("channels_last", "GPU: use the channels-last memory format", SWITCH, False, "device"),
)
"""How a device measures."""

SPACE = (
    Option(
        "space",
        "space: convnet1d, dash1d, dash2d, dscnn, fpn, mobilenetv3, nasbench201, resnet, unet, video, FILE.json "
        "or a plug-in",
        TEXT,
        "mobilenetv3",
        "space",
    ),
    Option(
        "preset",
        "mobilenetv3: tiny (8-32 pixels) or imagenet (128-224 pixels); convnet1d: small or large; dscnn: separable "
        "or both",
        TEXT,
        group="space",
    ),
    Option("resolution", "mobilenetv3, fpn: image sizes to choose from, like 16,32", WHOLE_LIST, group="space"),
    Option(
        "width",
        "convnet1d, fpn, mobilenetv3, unet, video: width multipliers to choose from, like 0.5,1.0",
        NUMBER_LIST,
        group="space",
    ),
    Option(
        "image_size",
        "side in pixels to which images, frames and masks are scaled; also the input size of dash2d, nasbench201, "
        "resnet and video",
        WHOLE,
        group="space",
    ),
    Option(
        "classes", "number of classes (default: in a search from the data, else the space's own)", WHOLE, group="space"
    ),
    Option(
        "image_channels",
        "image channels (default: in a search from the data, else the space's own)",
        WHOLE,
        group="space",
    ),
    Option(
        "frontend",
        "dscnn, mobilenetv3, convnet1d: logmel (the network reads raw samples and computes mel bands) or none",
        TEXT,
        group="space",
    ),
    Option(
        "space_settings",
        "any option of the space, like --space-option resolution=16,32; can be repeated",
        NAMED_VALUES,
        {},
        "space",
        flags=("--space-option",),
        metavar="NAME=VALUE",
    ),
)
"""A space and its options."""
MODEL = Option(
    "model",
    "ONNX file of a trained model: search for smaller and faster versions of it (see docs/own-model.md)",
    PATH,
    group="space",
    metavar="FILE",
)
"""A trained model: its space, what trainings start from, and their teacher."""
SEARCHED_SPACE = replace(
    SPACE[0],
    default=None,
    help="search space: a name of `hwnas plugins` or FILE.json (default: by the task: mobilenetv3, convnet1d, video, "
    "fpn or unet)",
)
"""`--space` of a search: its default follows from the task."""
SPACE_SHORTHANDS = tuple(option.name for option in SPACE if option.name not in ("space", "space_settings"))
"""Options of some space that have a name of their own on the command line."""

_EVALUATION = (
    Option(
        "evaluator",
        "what evaluates networks: supernet, train or table:FILE; or a score: synflow, naswot, gradnorm, parameters",
        TEXT,
        "supernet",
        "evaluation",
    ),
    Option("epochs", "epochs of training (default: by the size of the data)", WHOLE, group="evaluation"),
    Option(
        "weights",
        "start trainings from a file of weights: safetensors (torchvision, timm, hwnas) or ONNX",
        PATH,
        group="evaluation",
        metavar="FILE",
    ),
    Option("recipe", "training settings, like cutout=0.5,mixup=0.2 (see docs/training.md)", RECIPE, group="evaluation"),
    Option(
        "train_precision",
        "number format of trainings: fp32, bf16, or auto: bf16 where the processor multiplies such numbers",
        TEXT,
        "auto",
        "evaluation",
    ),
    Option(
        "supernet_sampling",
        "supernet: which subnets a training step samples: uniform (the default), bestup or worstup",
        TEXT,
        group="evaluation",
    ),
    Option(
        "halving",
        "train: compare the trainings after some of their epochs; only the best 1/N of them continue",
        WHOLE,
        group="evaluation",
        metavar="N",
    ),
    Option("accuracy_column", "--evaluator table:FILE: the file's column of accuracies", TEXT, group="evaluation"),
    Option(
        "evaluator_options",
        "any option of the evaluator, like --evaluator-option samples=128; can be repeated",
        NAMED_VALUES,
        {},
        "evaluation",
        flags=("--evaluator-option",),
        metavar="NAME=VALUE",
    ),
    Option(
        "low_fidelity",
        "with --strategy lamoo: evaluate candidates at low fidelity first, with another evaluator (or another column "
        "of table:FILE)",
        TEXT,
        group="evaluation",
        old=("cheap",),
    ),
    Option(
        "low_fidelity_design",
        "with --low-fidelity: random architectures to evaluate at low fidelity before anything is learned",
        WHOLE,
        30,
        "evaluation",
        least=0,
    ),
)
EVALUATOR_SHORTHANDS = {
    "halving": "halving",
    "supernet_sampling": "sampling",
    "accuracy_column": "accuracy_column",
}
"""Options of some evaluator that have a name of their own on the command line, and what the evaluator calls them."""
EVALUATOR = ("epochs", "recipe", *EVALUATOR_SHORTHANDS)
"""Options of the command line that become options of the evaluator."""

_COST_WORDS = [f"{cost.name} (or {cost.also})" if cost.also else cost.name for cost in COSTS.values()]
_SEARCH = (
    Option("strategy", "search strategy, one of those listed below", TEXT, "lamoo", "search"),
    Option(
        "strategy_options",
        "any option of the strategy, like --strategy-option sampler=mutation; can be repeated",
        NAMED_VALUES,
        {},
        "search",
        flags=("--strategy-option",),
        metavar="NAME=VALUE",
    ),
    Option("minimize", f"costs to minimise: one or more of {','.join(_COST_WORDS)}", NAMES, ("latency",), "search"),
    Option(
        "goal",
        "front (trade-offs of the metric and the minimised costs) or best (the best network within the budgets; needs "
        "one)",
        TEXT,
        "front",
        "search",
    ),
    Option("samples", "architectures to evaluate", WHOLE, 200, "search", least=1, most=10**9),
    Option("seed", "random seed", WHOLE, 0, "search", least=0, most=MOST_SEED),
    Option(
        "begin_with",
        "a network that is evaluated first, such as the one you use now, as hwnas prints networks; can be repeated",
        TEXTS,
        (),
        "search",
        metavar="NETWORK",
    ),
    Option(
        "warm_start",
        "start with the trials of another run (another strategy or other budgets); they count as samples",
        PATH,
        group="search",
        metavar="RUN",
    ),
    Option(
        "proposals",
        "architectures that the search proposes at a time; more workers than this stay idle",
        WHOLE,
        5,
        "search",
        least=1,
        most=10**6,
    ),
)
_DATA = (
    Option(
        "task",
        "task of the networks: image, signal, video, detection, dense or a plug-in (default: from the data)",
        TEXT,
        group="data",
    ),
    Option(
        "data",
        "data set: digits, a folder of images (with masks or boxes, too), clips, CIFAR-10, WAV or CSV files, or a CSV "
        "or .npz file",
        PATH,
        "digits",
        "data",
    ),
    Option("data_limit", "use at most this many samples of each part", WHOLE, group="data"),
    Option(
        "input_scaling",
        "how inputs are normalised: data (default: by the train part), MEAN/DEVIATION; images: 0-1, pm1 (-1 to 1), "
        "imagenet, 0-255; signals: none",
        TEXT,
        group="data",
    ),
    Option(
        "data_options",
        "any option of how the task reads its data, like --data-option window=128; can be repeated",
        NAMED_VALUES,
        {},
        "data",
        flags=("--data-option",),
        metavar="NAME=VALUE",
    ),
)
_CLIPS = (
    Option("frames", "clips: frames to take of each, evenly over its time", WHOLE, group="data", least=1, most=1024),
)
_SIGNALS = (
    Option(
        "metric",
        "what to compare networks by: accuracy of classes; rmse or relative_error of values (default: by the labels)",
        TEXT,
        group="signals",
    ),
    Option(
        "rate",
        "WAV: samples per second; others are resampled (default: the most frequent rate)",
        WHOLE,
        group="signals",
    ),
    Option(
        "length",
        "WAV: seconds of each recording: longer ones are cut, shorter ones padded (default: fits 95 % of them)",
        NUMBER,
        group="signals",
        metavar="SECONDS",
    ),
    Option(
        "window",
        "cut recordings into windows of so many samples (default of CSV: all of equally long recordings, else 128)",
        WHOLE,
        group="signals",
        metavar="SAMPLES",
    ),
    Option(
        "hop",
        "samples from one window to the next (default: half a window)",
        WHOLE,
        group="signals",
        metavar="SAMPLES",
    ),
    Option(
        "split_by",
        "keep each group (such as a speaker) in one part of the data: the N-th field of file names split at _, "
        "a regular expression, or a CSV column",
        TEXT,
        group="signals",
        metavar="N|REGEX|COLUMN",
    ),
    Option(
        "hold_out",
        "groups (of --split-by, or of the arrays group_*) that are the test part, with commas between",
        NAMES,
        group="signals",
        metavar="GROUP,...",
    ),
    Option("label_column", "CSV: column of labels (default: label, or by folders)", TEXT, group="signals"),
    Option(
        "columns",
        "CSV: columns that are channels, with commas between (default: all but labels, groups and time)",
        NAMES,
        group="signals",
        metavar="NAME,...",
    ),
)
DATA_SHORTHANDS = {option.name: option for option in (*_CLIPS, *_SIGNALS)}
"""Options of some task's data that have a name of their own on the command line, by name.

In a run's settings they are among ``data_options``."""
_DELIVERY = (
    Option(
        "finalize",
        "final training: none, finetune (the weights of the search), distil (the same, with a teacher) or train (a "
        "whole training)",
        TEXT,
        "none",
        "delivery",
    ),
    Option("final_epochs", "epochs of --finalize (default: by the size of the data)", WHOLE, group="delivery"),
    Option("final_recipe", "training settings of --finalize, like --recipe", RECIPE, {}, "delivery"),
)
_TABLE = (
    Option(
        "latency_column",
        "--evaluator table:FILE: the file's column of latencies, used instead of a latency table",
        TEXT,
        group="device",
    ),
    Option("table", "latency table (default: one that fits the device, else a new one)", PATH, group="device"),
    Option(
        "tables",
        "search for several devices at once: a latency table of each; --latency-budget is then 4ms or a=4ms,b=2ms",
        PATH_LIST,
        group="device",
        metavar="FILE",
        many="+",
    ),
    Option("devices", "several devices: the table and the latency budget of each", NAMED_VALUES, {}, "device", ()),
    Option(
        "offline",
        "the device of --table is not available: use the table's predictions, measure no network",
        SWITCH,
        False,
        "device",
        old=("not_here",),
    ),
)
MEASURE = ("trials", "winners", "none")
"""What a search measures on the device: every trial and the winners, the winners alone, or nothing."""
LATENCY_STATISTICS = ("q10", "median", "p90", "p99")
DEFAULT_STATISTIC = "median"
"""The statistic that a latency budget binds."""
MEMORY_STATISTICS = ("live", "arena")
STATISTICS_TEXT = f"{', '.join(LATENCY_STATISTICS[:-1])} or {LATENCY_STATISTICS[-1]} (default: {DEFAULT_STATISTIC})"
"""Values of an option that takes a statistic of latencies, as its help lists them."""
LATENCY_STATISTIC = Option(
    "latency_statistic",
    f"statistic of the measured latency that the objective and the budget use: {STATISTICS_TEXT}",
    TEXT,
    group="device",
)
_MEASURING = (
    Option(
        "measure",
        "what to measure on the device: trials, winners (delivered networks) or none "
        "(default: trials if latency is an objective or budget)",
        TEXT,
        group="device",
    ),
    LATENCY_STATISTIC,
)
_EVALUATION_THREADS = Option(
    "evaluation_threads",
    "threads per evaluation (default: by the cores and workers)",
    WHOLE,
    group="workers",
    least=1,
    most=4096,
)
WORKERS = (
    Option("workers", "processes that evaluate (1: only this one), or ray for a cluster", ANY, 1, "workers"),
    Option("ray_address", "address of the Ray cluster (default: the one that Ray finds)", TEXT, group="workers"),
    Option(
        "evaluation_timeout",
        "seconds after which an evaluation fails and its worker process is stopped (default: no limit)",
        NUMBER,
        group="workers",
        metavar="SECONDS",
    ),
)
"""Who evaluates; no result depends on it."""
TRACK = Option(
    "track",
    "also log the trials to tensorboard, mlflow, mlflow:URI or optuna:URL; can be repeated (see docs/trackers.md)",
    TEXTS,
    (),
    "output",
    metavar="TRACKER",
)
"""Who else hears of the trials; no result depends on it."""
_MEMORY_STATISTIC = Option(
    "memory_statistic",
    "what --ram-budget limits: live (tensors that exist at once, computed) or arena (what ONNX Runtime "
    "allocates, measured)",
    TEXT,
    "live",
    "budgets",
)
_BUDGETS = Option("budgets", "upper bounds by cost", NAMED_VALUES, {}, "budgets", flags=())
_OUTPUT = (
    Option("out", "run directory", PATH, "runs/latest", "output"),
    Option("quiet", "print only the path of the report", SWITCH, False, "output"),
    Option("json", "print events as JSON, one object per line", SWITCH, False, "output"),
)


def budget_options() -> dict[str, Option]:
    """Return the option for the budget of each cost, by the cost's name."""
    return {name: _budget_option(name) for name in cost_names()}


def _budget_option(name: str) -> Option:
    option = Option(f"{name.replace('-', '_')}_budget", f"upper bound of {name}", ANY, group="budgets")
    if name not in COSTS:  # what a plug-in says of its own is not read for a help text
        return option
    cost = COSTS[name]
    unit = f" in {cost.unit}" if cost.unit and cost is not LATENCY else ""  # a latency names its unit
    option = replace(option, help=f"upper bound of {cost.title}{unit}, like {cost.example}")
    if not cost.also:
        return option
    return replace(option, flags=(f"--{cost.also}-budget", cost.budget_option), old=(f"{cost.also}_budget",))


def setting_options() -> tuple[Option, ...]:
    """Return the options of a search that its settings follow from."""
    stated = (SEARCHED_SPACE if option is SPACE[0] else option for option in _STATED)
    return (*stated, *budget_options().values(), _EVALUATION_THREADS)


def search_options() -> tuple[Option, ...]:
    """Return the options of ``hwnas search``, in the order of its help."""
    return (*setting_options(), *WORKERS, TRACK, *_OUTPUT)


_STATED = (
    *DEVICE,
    *_TABLE,
    *_MEASURING,
    *SPACE,
    MODEL,
    *_DATA,
    *_CLIPS,
    *_SIGNALS,
    *_EVALUATION,
    *_DELIVERY,
    *_SEARCH,
    _MEMORY_STATISTIC,
    _BUDGETS,
)
_SHORTHANDS = {*SPACE_SHORTHANDS, *DATA_SHORTHANDS, *EVALUATOR, "final_epochs", "tables"} - {"image_size"}
SETTINGS = {option.name: option for option in (*_STATED, _EVALUATION_THREADS) if option.name not in _SHORTHANDS}
"""Options that a search's result depends on: the attributes of `SearchSettings`, by name."""


def default(name: str) -> Any:
    """Return the default of a setting."""
    return SETTINGS[name].default

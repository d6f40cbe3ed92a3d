"""Train the two networks that the comparison of derived spaces starts from, on CIFAR-10.

    scripts/train_bases.py --data CIFAR10 --out bases [--only resnet20] [--epochs 20]

For each network there is then ``NAME.onnx`` as torch exports it, ``NAME.pt`` (its state dict) and ``NAME.json`` (the
settings, and its accuracy unless ``--no-judge``). A training that is killed continues after its last whole epoch when
the script is started again, and ends with the same weights. ``--speed SECONDS`` trains nothing to the end: it says how
many images a second each network learns, and how long the training would take.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from _derived_bases import FAMILIES, to_onnx
from _derived_training import Training, judged, save_tensors, sizes_of, train
from _progress import say

from hwnas import make_task
from hwnas.tasks import Task
from hwnas.training import Recipe, default_recipe
from latency_tables import write_atomic

EPOCHS, BATCH_SIZE, RATE, DECAY = 20, 256, 0.3, 5e-4


def base_recipe(task: Task, epochs: int = EPOCHS, *, half: bool) -> Recipe:
    """Return how a base is trained: in bfloat16 with `half`, else as is usual on the device."""
    return default_recipe(
        task,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        learning_rate=RATE,
        weight_decay=DECAY,
        warmup=0.2,
        average=0.999,
        train_precision="bf16" if half else None,
    )


def train_base(name: str, task: Task, options: argparse.Namespace) -> None:
    """Train one network and write its files."""
    out: Path = options.out
    if (out / f"{name}.json").exists():
        say(f"{name}: done")
        return
    began, recipe = time.perf_counter(), base_recipe(task, options.epochs, half=options.half)
    checkpoint = out / f"{name}.checkpoint.pt"
    training = Training(
        task,
        recipe,
        options.seed,
        checkpoint,
        sizes=tuple(options.sizes),
        device=options.device,
        say=lambda text: say(f"{name}: {text}"),
    )
    torch.manual_seed(options.seed)
    module = train(FAMILIES[name](1.0, 1), training)
    model = to_onnx(module)
    write_atomic(out / f"{name}.onnx", model)
    save_tensors(module.state_dict(), out / f"{name}.pt")
    result = {
        "epochs": recipe.epochs,
        "images": recipe.epochs * task.size("train"),
        "recipe": recipe.as_dict(),
        "seed": options.seed,
        "sizes": options.sizes,
        **sizes_of(model),
        **(judged(model, task) if options.judge else {}),
        "seconds": round(time.perf_counter() - began),  # since the last start
    }
    write_atomic(out / f"{name}.json", json.dumps(result, indent=1) + "\n")
    checkpoint.unlink(missing_ok=True)
    judgement = f"test accuracy {result['test']:.2%}, validation {result['validation']:.2%}, " if options.judge else ""
    say(f"{name}: {judgement}{result['seconds']} s")


class _EnoughError(Exception):
    """The time of a speed test is over."""


def speed(name: str, task: Task, options: argparse.Namespace, size: int, *, half: bool) -> float:
    """Return how many images a second a network learns."""
    times: list[float] = []

    def tick() -> None:
        """Note the time of a step; end after the time that was asked for."""
        times.append(time.perf_counter())
        if times[-1] - times[0] > options.speed:
            raise _EnoughError

    recipe = base_recipe(task, 1000, half=half)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_EnoughError):
        checkpoint = Path(folder) / "checkpoint.pt"
        train(FAMILIES[name](1.0, 1), Training(task, recipe, 0, checkpoint, (size,), before_step=tick))
    seconds = sorted(after - before for before, after in pairwise(times[1:]))
    return recipe.batch_size / seconds[len(seconds) // 2]


def tell_speed(names: list[str], task: Task, options: argparse.Namespace) -> None:
    """Print the speed of each network, and how long its training would take."""
    for name in names:
        for half in (False, True):
            rates = {size: speed(name, task, options, size, half=half) for size in dict.fromkeys(options.sizes)}
            seconds = sum(options.images / rates[size] for size in options.sizes) / len(options.sizes) * options.epochs
            told = ", ".join(f"{rate:.0f} images/s at {size} pixels" for size, rate in rates.items())
            number = "bfloat16" if half else "float32"
            say(f"{name}, {number}: {told}; {options.epochs} epochs take {seconds / 60:.0f} min")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="CIFAR-10, as of hwnas search: its files or a folder of images")
    parser.add_argument("--data-limit", type=int, help="at most this many images of each part")
    parser.add_argument("--out", type=Path, default=Path("bases"), help="folder for the networks (default: bases)")
    parser.add_argument("--only", action="append", choices=sorted(FAMILIES), help="train this network alone")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"epochs (default {EPOCHS})")
    parser.add_argument(
        "--sizes", type=lambda text: [int(part) for part in text.split(",")], default=[24, 32, 32], help="image sizes"
    )
    parser.add_argument("--half", action=argparse.BooleanOptionalAction, default=True, help="compute in bfloat16")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    parser.add_argument("--judge", action=argparse.BooleanOptionalAction, default=True, help="find the accuracy")
    parser.add_argument("--threads", type=int, default=2, help="torch's threads (default 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    parser.add_argument("--speed", type=float, help="only measure the speed, for so many seconds each")
    return parser.parse_args()


def main() -> None:
    """Train the networks, or measure their speed."""
    options = parse()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    task = make_task(None, options.data, limit=options.data_limit)
    options.images = task.size("train")
    names = options.only or list(FAMILIES)
    if options.speed:
        options.images = 40_000
        tell_speed(names, task, options)
        return
    for name in names:
        train_base(name, task, options)


if __name__ == "__main__":
    main()

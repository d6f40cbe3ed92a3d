"""Compare searched networks with hand-made ones on sounds, motion and detection, at equal measured latency.

    scripts/bench_tasks.py keywords --data SPOKEN_DIGITS --runs FOLDER -o keywords.json
    scripts/bench_tasks.py motion --data motion.npz --runs FOLDER -o motion.json
    scripts/bench_tasks.py cells --data BLOOD_CELLS --runs FOLDER -o cells.json
    scripts/bench_tasks.py keywords-supernet --data SPOKEN_DIGITS --runs FOLDER -o keywords-supernet.json
    scripts/bench_tasks.py motion-supernet --data motion.npz --runs FOLDER -o motion-supernet.json

* keywords: WAV files named ``<class>_<speaker>_<take>.wav``. Each seed holds out another speaker for the test. The
  rival is DS-CNN in the size of MLPerf Tiny, its log-mel front end in the network; spaces `dscnn` and `convnet1d`.
* motion: what `write_motion.py` writes. Each seed holds out other people. The rival is the fully convolutional network
  of Wang et al. (2017, arXiv 1611.06455); space `convnet1d`.
* cells: images with boxes. Pyramid and head are searched or FCOS's, each with a searched backbone; the yardstick is
  FCOS's pyramid and head on a backbone in the middle of the space.
* cells-resolutions: the same with images of 128 pixels to choose beside 160.
* keywords-supernet, motion-supernet: the same with networks that share weights, trained for longer: the keywords from
  maps alone, with DS-CNN among the first networks; the motion also in the preset ``large``.
* keywords-official: the same as keywords on the parts that the data have: the test has unheard takes of heard speakers.
* keywords-dense: separable or dense stages and three windows, on maps alone; by speaker, like keywords.
* keywords-whole: networks of about DS-CNN's size, each trained as long as those that count. A GPU is faster there:
  ``--only limits --only table`` here, ``--only search --device cuda --workers 3 --search-workers 4`` on a machine that
  has one, with the folder carried between them, and then all the rest here.

Every job has a file of its own below ``--runs``; the script can be killed at any moment and started again.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from _task_comparison import Arm, Experiment, Scale, Setup, run_command

from hwnas.spaces import Space
from hwnas.spaces import make_space as space_of
from hwnas.tasks import make_task
from latency_tables import INPUT, GraphBuilder, OpGraph
from profilers import ops

_SECOND = 1.0
"""Length of a spoken word that DS-CNN reads, in seconds."""
_FAST = {"train_precision": "bf16"}
_DETECTION = {"batch_size": 8, **_FAST}


def keywords(data: str, seed: int, *, how: str = "") -> Setup:
    """Hold out a speaker: DS-CNN against networks on log-mel maps and on samples.

    Args:
        data: Folder of the recordings.
        seed: Which speaker.
        how: How networks are judged: empty for short trainings, each alone; ``"supernet"``; or ``"whole"`` for
            trainings as long as those that count. ``"official"``: short trainings, and the parts are those of the data,
            so that each speaker is in all of them. ``"dense"``: short trainings of networks on maps alone, with
            separable or dense stages and windows to choose from: a search for the front, one for the best network
            within DS-CNN's latency, and one for the best within a third of it.
    """
    if how == "official":
        task = make_task("signal", data, length=_SECOND)
    else:
        speakers = sorted({Path(file).stem.split("_")[1] for file in Path(data).glob("*/*/*.wav")})
        task = make_task("signal", data, split_by=2, hold_out=speakers[seed % len(speakers)], length=_SECOND, seed=seed)
    (output,), (channels, length) = task.outputs, task.input_shape
    rate = round(length / _SECOND)
    common = {"classes": output.size, "length": length, "input_channels": channels}
    filters, hops, bands = (8, 16, 32, 48, 64, 96), (20.0, 32.0, 40.0, 64.0), (10, 16, 20)
    maps = space_of("dscnn", **common, sample_rate=rate, filters=filters, hop_ms=hops, bands=bands)
    samples = space_of("convnet1d", **common, width=(0.25, 0.5, 1.0))
    published = space_of("dscnn", **common, sample_rate=rate)
    known = published.reference()
    first = [published.format(known)]
    arms = {"maps": Arm("searched", maps), "samples": Arm("searched", samples)}
    if how == "dense":
        both = space_of(
            "dscnn",
            preset="both",
            **common,
            sample_rate=rate,
            filters=(8, 16, 32, 48, 64),
            hop_ms=(20.0, 32.0, 40.0),
            window_ms=(16.0, 20.0, 30.0),
            bands=(10, 20),
        )
        one_goal = {
            name: Arm("searched", both, {"goal": "best"}, shares=(x,)) for name, x in (("whole", 1.0), ("third", 1 / 3))
        }
        arms = {"maps": Arm("searched", both), **one_goal}
    if how == "supernet":
        arms = {"maps": Arm("searched", maps, {"evaluator": "supernet", "begin_with": first})}
    if how == "whole":
        near = space_of("dscnn", **common, sample_rate=rate, filters=filters[2:], hop_ms=hops[:2], bands=bands)
        arms = {"maps": Arm("searched", near, {"offline": True, "begin_with": first})}
    return Setup(task=task, arms=arms, rivals={"DS-CNN": published.graph(known)})


def motion(data: str, seed: int, *, supernet: bool = False) -> Setup:
    """Hold out people: the fully convolutional network against networks on samples."""
    with np.load(data) as arrays:
        people = np.unique(arrays["group_train"])
    held = [people[(2 * seed + i) % len(people)] for i in range(2)]
    task = make_task("signal", data, hold_out=[str(person) for person in held], seed=seed)
    (output,), (channels, length) = task.outputs, task.input_shape
    common = {"classes": output.size, "input_channels": channels, "length": length, "width": (0.25, 0.5, 1.0)}
    presets = ("small", "large") if supernet else ("small",)
    spaces = {preset: space_of("convnet1d", preset=preset, **common) for preset in presets}
    if supernet:
        arms = {preset: Arm("searched", space, {"evaluator": "supernet"}) for preset, space in spaces.items()}
    else:
        arms = {"samples": Arm("searched", spaces["small"])}
    return Setup(task=task, arms=arms, rivals={"FCN": fully_convolutional(channels, length, output.size)})


def fully_convolutional(channels: int, length: int, classes: int) -> OpGraph:
    """Build the network of Wang et al. (2017, arXiv 1611.06455): three convolutions over time and a pooling.

    Kernels of 8, 5 and 3 (7, 5 and 3 here: odd kernels keep the length), 128, 256 and 128 channels.
    """
    builder = GraphBuilder((channels, length))
    x = builder.add("signal", ops.reshape((channels, length), (channels, 1, length)), INPUT)
    for i, (wide, kernel) in enumerate(((128, 7), (256, 5), (128, 3))):
        x = builder.add(f"conv{i}", ops.conv(builder.shape(x), wide, (1, kernel), act="relu"), x)
    x = builder.add("pool", ops.global_pool(builder.shape(x)), x)
    return builder.build(builder.add("classes", ops.linear(builder.shape(x), classes), x))


def cells(data: str, seed: int, *, resolutions: tuple[int, ...] = ()) -> Setup:
    """Compare pyramids and heads that are searched with FCOS's.

    Args:
        data: Folder of the images and their boxes.
        seed: Decides the validation part, where the data have none.
        resolutions: Smaller image sizes to choose from.
    """
    size = 160
    task = make_task("detection", data, image_size=size, seed=seed)
    (output,) = task.outputs
    spaces = {
        pyramid: space_of(
            "fpn", classes=len(output.labels or ()), resolution=(*resolutions, size), width=(0.5,), pyramid=pyramid
        )
        for pyramid in ("searched", "fcos")
    }
    return Setup(
        task=task,
        arms={
            "searched": Arm("searched pyramid and head", spaces["searched"]),
            "hand-made": Arm("FCOS's pyramid and head, searched backbone", spaces["fcos"]),
        },
        rivals={"FCOS's pyramid and head, middle backbone": _middle(spaces["fcos"])},
    )


def _middle(space: Space) -> OpGraph:
    """Return the network whose every choice has the value in the middle; of two, the smaller; at the largest size."""
    values = [c.values[-1] if c.name == "resolution" else c.values[(len(c.values) - 1) // 2] for c in space.choices]
    return space.graph(space.decode([c.values.index(v) for c, v in zip(space.choices, values, strict=True)]))


EXPERIMENTS = {
    "keywords": Experiment(
        keywords, Scale((1.0, 1 / 2, 1 / 3, 1 / 5), samples=50, search_epochs=8, epochs=40, finalists=2)
    ),
    "motion": Experiment(
        motion, Scale((1.0, 1 / 3, 1 / 10, 1 / 30), samples=40, search_epochs=6, epochs=30, finalists=2)
    ),
    "keywords-supernet": Experiment(
        partial(keywords, how="supernet"),
        Scale((1.0, 1 / 2, 1 / 3, 1 / 5), samples=200, search_epochs=40, epochs=40, finalists=3),
    ),
    "keywords-official": Experiment(
        partial(keywords, how="official"),
        Scale((1.0, 1 / 3, 1 / 10), samples=20, search_epochs=8, epochs=40, finalists=1, searches=1),
    ),
    "keywords-dense": Experiment(
        partial(keywords, how="dense"),
        Scale((1.0, 1 / 2, 1 / 3), samples=50, search_epochs=12, epochs=40, finalists=3, recipe=_FAST),
    ),
    "keywords-whole": Experiment(
        partial(keywords, how="whole"),
        Scale((1.0, 2 / 3), samples=10, search_epochs=40, epochs=40, finalists=3, recipe=_FAST),
    ),
    "motion-supernet": Experiment(
        partial(motion, supernet=True),
        Scale((1.0, 1 / 3, 1 / 10, 1 / 30), samples=200, search_epochs=40, epochs=30, finalists=3),
    ),
    "cells": Experiment(
        cells,
        Scale((1.0, 0.6), samples=30, search_epochs=10, epochs=80, finalists=1, searches=1, recipe=_DETECTION),
    ),
    "cells-resolutions": Experiment(
        partial(cells, resolutions=(128,)),
        Scale((1.0,), samples=60, search_epochs=10, epochs=80, finalists=2, searches=1, recipe=_DETECTION),
    ),
}


if __name__ == "__main__":
    run_command(__doc__, EXPERIMENTS)

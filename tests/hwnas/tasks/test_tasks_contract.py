"""Every task of ours keeps the contract, and tasks are made by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import signal_toys
from boxes import write_coco
from clips import CLASSES, dots
from dense_data import write_shapes, write_smoothing
from derived_models import mobile

from hwnas._cli import main
from hwnas._errors import DataError, EvaluatorError
from hwnas.data import ClipData, Split, load_data
from hwnas.spaces import DerivedSpace, MixedPrecisionSpace, make_space
from hwnas.tasks import ImageClassification, VideoClassification, as_task, make_task, task_names
from hwnas.testing import check_task

PARTS = (("train", 12), ("validation", 9), ("test", 10))
FORMAT_2 = Path(__file__).resolve().parents[2] / "fixtures" / "run-format-2"
BOXES = (("train", 8), ("val", 8), ("test", 8))
TASKS = {
    "detection": lambda folder: make_task("detection", str(write_coco(folder, BOXES))),
    "image": lambda folder: make_task("image", "digits", limit=60),
    "signal": lambda folder: make_task("signal", str(signal_toys.arrays(folder / "x.npz"))),
    "video": lambda folder: VideoClassification(ClipData(**clips())),
}
"""Another task joins with one line."""
SPACES = {
    "video": lambda: make_space("video", frames=4, image_size=8, classes=2, width=[0.25]),
    "mobilenetv3": lambda: make_space("mobilenetv3", image_channels=1, resolution=[8], width=[0.25]),
    "nasbench201": lambda: make_space("nasbench201", image_size=8, image_channels=1, cells=1, channels=4),
    "fpn": lambda: make_space("fpn", classes=2, resolution=64, width=0.5, channels=8),
    "signals": lambda: signal_toys.plain_space(image_channels=2, image_size=64),
}
CASES = (
    ("detection", "fpn"),
    ("image", "mobilenetv3"),
    ("image", "nasbench201"),
    ("signal", "signals"),
    ("video", "video"),
)


def dense(folder, kind):
    """A dense task and a space of its own."""
    source = write_shapes(folder) if kind == "segmentation" else write_smoothing(folder / "signals.npz")
    task = make_task("dense", str(source))
    facts = {"classes": task.outputs[0].size, "image_channels": task.input_shape[0], "channels": 4, "levels": 2}
    return task, make_space("unet", size=list(task.input_shape[1:]), **facts)


OTHERS = {
    "dense segmentation": lambda folder: dense(folder, "segmentation"),
    "dense regression": lambda folder: dense(folder, "regression"),
}
"""Tasks with spaces of their own: each is made in a folder."""


def test_a_task_of_another_class_stays_one_when_it_is_scaled():
    class Own(ImageClassification):
        def __init__(self, data, extra):
            super().__init__(data)
            self.extra = extra

    task = Own(load_data("digits", limit=60), 7)
    scaled = task.with_scaling("0-255")
    assert type(scaled) is Own
    assert scaled.extra == 7
    assert scaled.fingerprint != task.fingerprint
    assert scaled.with_scaling("0-1").fingerprint == task.with_scaling("0-1").fingerprint


def test_every_task_of_ours_is_checked():
    assert sorted({*TASKS, *(name.split()[0] for name in OTHERS)}) == task_names()
    assert sorted(TASKS) == sorted({name for name, _ in CASES})


@pytest.mark.parametrize("name", OTHERS)
def test_contract_of_a_task_with_a_space_of_its_own(name, tmp_path):
    check_task(*OTHERS[name](tmp_path))


def clips():
    """Arguments of `ClipData`: a dot that moves to the left or to the right."""
    parts = {part: Split(*dots(count, seed=i)) for i, (part, count) in enumerate(PARTS)}
    return {"name": "dots", "classes": CLASSES, **parts, "mean": (0.05,), "std": (0.2,)}


@pytest.mark.parametrize(("name", "space"), CASES)
def test_contract(name, space, tmp_path):
    check_task(TASKS[name](tmp_path), SPACES[space]())


class Forgetful(ImageClassification):
    def distillation_loss(self, outputs, teacher):
        return outputs[0].square().mean()


class Unsteady(ImageClassification):
    def augment(self, x, targets, rng, settings):
        return x + float(np.random.default_rng().random()), targets


def test_a_broken_task_is_noticed():
    data = load_data("digits", limit=60)
    for broken, why in (
        (Forgetful, "no gradient where student and teacher agree"),
        (Unsteady, "the same when it is made again from its seed"),
    ):
        with pytest.raises(AssertionError, match=why):
            check_task(broken(data), SPACES["nasbench201"]())


def test_loaded_data_stand_for_their_task(tmp_path):
    data = load_data("digits", limit=60)
    task = as_task(data)
    for name, make in TASKS.items():
        folder = tmp_path / name
        folder.mkdir()
        assert as_task(make(folder).data).name == name
    with pytest.raises(DataError, match=r"data must be a name, a task or a data set of hwnas.data, got ndarray"):
        as_task(np.zeros(3))
    assert (task.name, task.data, as_task(task)) == ("image", data, task)
    assert make_task(None, "digits", limit=60).fingerprint == task.fingerprint == data.fingerprint
    assert (task.input_shape, task.outputs[0].size, task.outputs[0].labels) == ((1, 8, 8), 10, data.classes)
    with pytest.raises(DataError, match="unknown task 'sound'; known: dense, detection, image, signal, video"):
        make_task("sound", "digits")
    with pytest.raises(EvaluatorError, match="10 classes, the space's networks output 7; set classes=10"):
        task.require_fit(make_space("nasbench201", image_size=8, image_channels=1, cells=1, channels=4, classes=7))


def test_naming_the_task_that_the_data_are_made_for_is_the_same_search(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(FORMAT_2 / "done", run)
    options = ["--resolution", "8", "--width", "0.5", "--evaluator", "train", "--epochs", "1", "--data-limit", "120"]
    options += ["--samples", "8", "--minimize", "latency,params", "--quiet", "--task", "image"]
    assert main(["search", *options, "--table", str(FORMAT_2 / "table.json"), "--out", str(run)]) == 0
    assert json.loads((run / "settings.json").read_text())["settings"]["task"] is None


def test_a_file_says_how_images_were_scaled():
    plain, scaled = (make_task("image", "digits", limit=60, image_size=size) for size in (None, 16))
    steps = [task.metadata((1, 8, 8))["preprocessing"]["steps"] for task in (plain, scaled)]
    assert steps[1] == ["scale the shorter side to 16 pixels and cut out the centre", *steps[0]]
    assert scaled.input_shape == (1, 16, 16)


def test_data_that_a_model_does_not_read_are_refused():
    line = "images have 1 channel, the model reads 3; choose other data, or train and export the model for these"
    for space in (DerivedSpace(mobile(size=8)), MixedPrecisionSpace(DerivedSpace(mobile(size=8)))):
        with pytest.raises(EvaluatorError, match=line):
            ImageClassification(load_data("digits", limit=30)).require_fit(space)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_settings_that_are_absent_are_off_and_an_open_batch_is_refused(name, tmp_path):
    task = TASKS[name](tmp_path)
    indices = np.arange(4)
    x = task.inputs("train", indices, task.input_shape)
    targets = task.to_device(task.targets("train", indices), "cpu")
    views, _ = task.augment(x, targets, np.random.default_rng(0), {})
    np.testing.assert_allclose(views.numpy(), x.numpy(), atol=1e-4)
    assert task.misfit([4, *task.input_shape]) is None
    assert task.misfit(["N", *task.input_shape]) is not None


def test_a_path_names_data_and_impossible_arguments_are_one_line(tmp_path):
    folder = write_coco(tmp_path, BOXES)
    assert type(make_task(None, folder)).__name__ == "Detection"
    for arguments, line in (
        ({"seed": -1}, "the seed must be 0 or more, got -1"),
        ({"seed": 1.5}, "the seed must be a whole number, got 1.5"),
        ({"limit": 200.5}, "the limit must be a whole number, got 200.5"),
        ({"image_size": True}, "the image size must be a whole number, got True"),
    ):
        with pytest.raises(DataError) as caught:
            make_task("image", Path("digits"), **arguments)
        assert str(caught.value) == f"data digits: {line}"

"""The dense task: metrics by hand, augmentation that moves maps along, losses, and networks that do not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from dense_data import NAMES, shapes, write_shapes, write_smoothing

from hwnas._errors import EvaluatorError
from hwnas.spaces import make_space
from hwnas.tasks import MEAN_IOU, RELATIVE_L2, ImageClassification, make_task, metric_named, usual_space, usual_task
from hwnas.tasks._dense._metrics import MeanIoU, RelativeL2
from hwnas.tasks._dense._tensors import augmented, regression_loss, segmentation_loss, value_imitation_loss


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory):
    return make_task(None, str(write_shapes(tmp_path_factory.mktemp("shapes"))))


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    return make_task(None, str(write_smoothing(tmp_path_factory.mktemp("signals") / "s.npz")))


def test_data_with_maps_are_of_this_task(segmentation, regression):
    for task, metric in ((segmentation, MEAN_IOU), (regression, RELATIVE_L2)):
        assert (task.name, usual_task(task.data_name), usual_space("dense")) == ("dense", "dense", "unet")
        assert task.metric == metric == metric_named(metric.name)
    assert (segmentation.outputs[0].size, segmentation.outputs[0].labels) == (3, NAMES)
    assert usual_task("digits") == ImageClassification.name


def one_hot(classes):
    return np.moveaxis(np.eye(4)[np.asarray(classes)], -1, 1)


def test_mean_iou_leaves_out_classes_that_are_nowhere():
    scorer = MeanIoU(4)
    scorer.add([one_hot([[0, 0, 1, 1]])], np.uint8([[0, 1, 1, 255]]))
    scorer.add([one_hot([[0, 3, 1, 1]])], np.uint8([[0, 0, 1, 1]]))
    # class 0: 2 right, 4 in the union; class 1: 3 right of 4; class 2: nowhere; class 3: 0 of 1
    assert scorer.by_class() == pytest.approx([2 / 4, 3 / 4, np.nan, 0.0], nan_ok=True)
    assert scorer.value() == pytest.approx((0.5 + 0.75 + 0.0) / 3)
    assert scorer.counts.sum() == 7


def test_relative_l2_is_in_the_units_of_the_targets():
    scorer = RelativeL2([1.0, 0.0], [2.0, 10.0])
    targets = np.float32([[[3, 4], [0, 0]], [[0, 0], [0, 2]]])
    normalised = (targets - np.float32([[1], [0]])) / np.float32([[2], [10]])
    scorer.add([normalised], targets)
    assert scorer.value() == pytest.approx(0, abs=1e-6)
    off = normalised + np.float32([[[0.5], [0]], [[0], [0.3]]])  # +1 in channel 0, and +3 in channel 1
    scorer = RelativeL2([1.0, 0.0], [2.0, 10.0])
    scorer.add([off[:1]], targets[:1])
    scorer.add([off[1:]], targets[1:])
    assert scorer.value() == pytest.approx((2**0.5 / 5 + 18**0.5 / 2) / 2, rel=1e-5)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("kind", ["classes", "values"])
def test_maps_move_with_their_samples(rank, kind):
    extents = (8,) * rank
    x = torch.randn(64, 2, *extents, generator=torch.Generator().manual_seed(0))
    targets = (x[:, 0] > 0).to(torch.uint8) if kind == "classes" else x[:, :1] * 3
    settings = {"shift": 0.25, "flip": True}
    views, maps = augmented(x, targets, np.random.default_rng(0), settings)
    assert (views != x).any()
    assert maps.dtype == targets.dtype
    assert torch.equal(maps, (views[:, 0] > 0).to(torch.uint8) if kind == "classes" else views[:, :1] * 3)
    assert views.shape == x.shape
    again, same = augmented(x, targets, np.random.default_rng(0), {"shift": 0.0, "flip": False})
    assert again is x
    assert same is targets


def test_ignored_pixels_count_in_no_loss():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, generator=generator).requires_grad_()
    targets = torch.randint(0, 3, (2, 4, 4), generator=generator).to(torch.uint8)
    targets[0, :2] = 255
    segmentation_loss(logits, targets, 0.5).backward()
    assert (logits.grad[0, :, :2] == 0).all()
    assert (logits.grad[0, :, 2:] != 0).all()
    kept = torch.cat([logits[0, :, 2:].flatten(1), logits[1].flatten(1)], 1)[None].detach()
    labels = torch.cat([targets[0, 2:].flatten(), targets[1].flatten()])[None]
    for dice in (0.0, 0.5):
        assert float(segmentation_loss(logits.detach(), targets, dice)) == pytest.approx(
            float(segmentation_loss(kept, labels, dice)), rel=1e-5
        )
    assert float(segmentation_loss(logits.detach(), torch.full_like(targets, 255), 1.0)) == 0.0


def test_the_dice_loss_by_hand():
    logits = torch.log(torch.tensor([[[0.8, 0.4], [0.2, 0.6]]]))
    targets = torch.tensor([[0, 1]], dtype=torch.uint8)
    plain = -(np.log(0.8) + np.log(0.6)) / 2
    dice = 1 - (2 * 0.8 / (1.2 + 1) + 2 * 0.6 / (0.8 + 1)) / 2
    assert float(segmentation_loss(logits, targets, 2.0)) == pytest.approx(plain + 2 * dice, rel=1e-5)


def test_the_loss_of_values_is_the_metric(regression):
    targets = regression.targets("test", slice(5))
    maps = np.random.default_rng(0).standard_normal(targets.shape).astype(np.float32)
    scorer = regression.scorer()
    scorer.add([maps], targets)
    loss = regression_loss(regression.data, torch.from_numpy(maps), torch.from_numpy(targets))
    assert float(loss) == pytest.approx(scorer.value(), rel=1e-5)


@pytest.mark.parametrize("unit", [1e-20, 1e-8, 1.0, 1e25])
def test_losses_of_values_do_not_depend_on_their_unit(regression, unit):
    """Squares of such values leave what 32-bit numbers hold."""
    moments = tuple(tuple(value * unit for value in values) for values in regression.data.target_moments)
    data = replace(regression.data, target_moments=moments)
    targets = torch.from_numpy(regression.targets("test", slice(5)) * np.float32(unit))
    maps, teacher = torch.from_numpy(np.random.default_rng(0).standard_normal((2, *targets.shape)).astype(np.float32))
    wanted = regression_loss(regression.data, maps, targets / unit)
    assert float(regression_loss(data, maps, targets)) == pytest.approx(float(wanted), rel=1e-4)
    wanted = value_imitation_loss(regression.data, maps, teacher)
    assert float(value_imitation_loss(data, maps, teacher)) == pytest.approx(float(wanted), rel=1e-4)


def test_inputs_are_normalised(segmentation):
    x = segmentation.inputs("train", slice(36), (3, 16, 16))
    assert x.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert x.std((0, 2, 3)).tolist() == pytest.approx([1, 1, 1], abs=1e-3)


def test_exhibits_show_samples_and_figures_of_each_class(segmentation, regression, monkeypatch):
    drawn = []
    monkeypatch.setattr("hwnas.tasks._dense._exhibits.panels_plot", lambda *shown: drawn.append(shown) or b"")
    masks = shapes(12, seed=1)[1]

    def right(indices):
        maps = np.zeros((len(indices), 3, 16, 16), dtype=np.float32)
        np.put_along_axis(maps, np.minimum(masks[indices], 2)[:, None].astype(int), 1.0, axis=1)
        return [maps]

    _, iou, confusion = segmentation.exhibits(right)
    examples, classes = drawn.pop()
    assert classes == NAMES
    assert [[panel.kind for panel in row] for row in examples] == [["picture", "classes", "classes"]] * 4
    assert examples[0][2].title == "predicted (mean IoU 100.0%)"
    assert [row[:2] for row in iou.rows[1:]] == [(name, "100.00%") for name in NAMES]
    assert [row[i + 1] for i, row in enumerate(confusion.rows[1:])] == ["100.0%"] * 3
    assert "left out" not in iou.note
    nothing = segmentation.exhibits(lambda indices: [np.zeros((len(indices), 3, 16, 16), dtype=np.float32)])
    assert [row[1] for row in nothing[1].rows[2:]] == ["0.00%", "0.00%"]
    (_,) = regression.exhibits(lambda indices: [np.zeros((len(indices), 1, 32), dtype=np.float32)])
    examples, _ = drawn.pop()
    assert [panel.kind for panel in examples[0]] == ["lines"] * 3
    assert examples[0][2].values == pytest.approx(regression.data.target_moments[0][0])


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"size": [8, 8]},
            "read 3x16x16 and give 3x16x16, those of space unet read 3x8x8 and give 3x8x8; give its size",
        ),
        ({"size": [16, 16], "classes": 4}, "those of space unet read 3x16x16 and give 4x16x16; give its size, classes"),
        ({"size": 16}, "those of space unet read 3x16 and give 3x16"),
    ],
)
def test_networks_of_another_shape_are_refused(segmentation, settings, line):
    space = make_space("unet", **{"classes": 3, "levels": 2, "channels": 4, **settings})
    with pytest.raises(EvaluatorError) as error:
        segmentation.require_fit(space)
    assert line in str(error.value)


def test_networks_of_one_answer_are_refused(segmentation):
    with pytest.raises(EvaluatorError, match="nasbench201 read 3x16x16 and give 3; use --space unet, or"):
        segmentation.require_fit(make_space("nasbench201", image_size=16, classes=3, cells=1, channels=4))
    assert "does not take samples of shape 3x16x16" in segmentation.misfit([1, 3, 8, 8])


def test_learning_from_a_teacher_does_not_outweigh_learning_the_targets(regression):
    """Normalised values are near 0 at first; an error relative to these would be far above the loss itself."""
    targets = torch.from_numpy(regression.targets("train", slice(20)))
    generator = torch.Generator().manual_seed(0)
    student, teacher = (0.01 * torch.randn(targets.shape, generator=generator) for _ in range(2))
    assert float(regression.distillation_loss([student], [teacher])) < 0.01 * float(
        regression.loss([student], targets, {})
    )

"""Detection: which place finds which box, the losses, boxes that move with their images, and a detector that learns."""

import dataclasses

import numpy as np
import pytest
import torch
from boxes import write_coco

from hwnas._errors import EvaluatorError, SpaceError
from hwnas.spaces import make_space
from hwnas.tasks import make_task
from hwnas.tasks._detection._augment import augmented
from hwnas.tasks._detection._losses import detection_loss, focal_loss, giou, imitation_loss
from hwnas.tasks._detection._places import assign, levels_of_places, levels_of_side
from hwnas.training import OnnxNetwork, default_recipe, judge_onnx, score_network, train_network
from profilers import build_onnx, place_boxes

LEVELS = levels_of_side(64)
PLACES = 64 + 16 + 4


def boxes(*rows):
    return torch.tensor([[[*row[:4], 0.0, row[4]] for row in rows]])


def test_maps_follow_from_the_number_of_places():
    for side in (32, 64, 96, 224):
        levels = levels_of_side(side)
        assert levels_of_places(sum(height * width for height, width in levels)) == levels
    with pytest.raises(ValueError, match="no square image has 85 places"):
        levels_of_places(85)


def test_a_small_box_belongs_to_the_finest_map_and_a_large_one_to_another():
    small, large = (0.10, 0.10, 0.30, 0.35, 1), (0.05, 0.30, 0.95, 0.98, 0)
    found = assign(LEVELS, boxes(small, large))
    labels = found.labels[0]
    assert set(labels[:64].tolist()) == {-1, 1}
    assert set(labels[64:].tolist()) == {-1, 0}
    centres, steps = place_boxes(LEVELS)
    for place in (labels >= 0).nonzero()[:, 0].tolist():
        box = np.array(small[:4] if labels[place] == 1 else large[:4])
        decoded = centres[place] + steps[place] * found.distances[0, place].numpy()
        np.testing.assert_allclose(decoded, box, atol=1e-6)
        middle = (box[:2] + box[2:]) / 2
        assert np.abs((centres[place, :2] - middle) / steps[place, 2:]).max() <= 1.5
    assert found.centred[0][labels >= 0].max() > 0.6


def test_of_two_boxes_a_place_takes_the_smaller_and_crowds_are_not_learned():
    outer, inner = (0.30, 0.30, 0.60, 0.60, 0), (0.35, 0.35, 0.55, 0.55, 1)
    labels = assign(LEVELS, boxes(outer, inner)).labels[0]
    assert 1 in labels.tolist()
    alone = assign(LEVELS, boxes(inner)).labels[0]
    assert torch.equal(labels == 1, alone == 1)
    crowd = boxes(inner)
    crowd[..., 4] = 1
    assert (assign(LEVELS, crowd).labels == -1).all()


def test_losses_by_hand():
    a = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    b = torch.tensor([[1.0, 1.0, 1.0, 1.0], [2.0, 1.0, 1.0, 1.0]])
    assert giou(a, b).tolist() == pytest.approx([1.0, 4 / 6])
    corner = torch.tensor([[0.5, 0.5, 1.0, 1.0]])
    other = torch.tensor([[1.0, 1.0, 0.5, 0.5]])
    assert giou(corner, other).tolist() == pytest.approx([1 / 3.5 - (4 - 3.5) / 4])
    loss = focal_loss(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0]))
    assert float(loss) == pytest.approx((0.25 + 0.75) * 0.25 * np.log(2))


def perfect(targets):
    """Return what a detector would have to say."""
    wanted = assign(LEVELS, targets)
    raw = torch.full((len(targets), 2 + 5, PLACES), -9.0)
    for label in range(2):
        raw[:, label][wanted.labels == label] = 9.0
    raw[:, 2:6] = wanted.distances.log().transpose(1, 2)
    raw[:, 6] = torch.logit(wanted.centred.clamp(1e-3, 1 - 1e-3))
    return raw


def test_the_loss_is_least_where_all_is_right_and_images_without_boxes_have_one():
    targets = boxes((0.1, 0.1, 0.3, 0.35, 1), (0.05, 0.3, 0.95, 0.98, 0))
    raw = perfect(targets)
    best = float(detection_loss(raw, targets))
    for channel, step in ((0, 9.0), (2, 1.0), (6, 1.0)):
        worse = raw.clone()
        worse[:, channel] += step
        assert float(detection_loss(worse, targets)) > best + 1e-4
    nothing = torch.tensor([[[0.0, 0, 0, 0, 0, -1]]])
    raw = torch.zeros(1, 7, PLACES, requires_grad=True)
    loss = detection_loss(raw, nothing)
    loss.backward()
    assert bool(loss.isfinite())
    assert bool((raw.grad[:, :2] > 0).all())


def test_a_teacher_of_another_resolution_says_the_same_of_the_same_boxes():
    student = torch.zeros(1, 7, 21)
    student[:, 2:6] = -np.log(2)
    assert float(imitation_loss(student, torch.zeros(1, 7, PLACES))) == pytest.approx(
        float(imitation_loss(torch.zeros(1, 7, 21), torch.zeros(1, 7, 21))), abs=1e-5
    )


def test_boxes_move_with_their_images():
    x = torch.zeros(12, 3, 64, 64)
    targets = torch.zeros(12, 2, 6)
    targets[:, 1, 5] = -1
    rng = np.random.default_rng(3)
    for i in range(12):
        column, row = rng.integers(16, 30, 2).tolist()
        x[i, :, row : row + 16, column : column + 20] = 1.0
        targets[i, 0, :4] = torch.tensor([column, row, column + 20, row + 16]) / 64
    settings = {"flip": True, "zoom": 0.3, "shift": 0.1, "light": 0.0}
    seen, moved = augmented(x, targets, np.random.default_rng(0), settings)
    again, _ = augmented(x, targets, np.random.default_rng(0), settings)
    assert torch.equal(seen, again)
    assert (moved[:, 1, 5] == -1).all()
    assert (moved[:, 0, :4] - targets[:, 0, :4]).abs().max() > 0.1
    for image, box in zip(seen, moved[:, 0], strict=True):
        rows, columns = (image[0] > 0.5).nonzero(as_tuple=True)
        edges = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 64
        assert (edges - box[:4]).abs().max() < 1.5 / 64
    _, gone = augmented(x, targets, np.random.default_rng(0), {**settings, "zoom": 2.0, "shift": 0.5})
    assert -1 in gone[:, 0, 5].tolist()
    assert gone[..., :4].min() >= 0
    assert gone[..., :4].max() <= 1


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    return make_task(None, str(write_coco(folder, (("train", 32), ("val", 4), ("test", 12)))))


@pytest.fixture(scope="module")
def trained(task):
    """Return FCOS's detector over a small backbone after a short training, and its graph."""
    space = make_space("fpn", classes=2, resolution=64, width=0.5, channels=24)
    graph = space.graph(space.hand_made(space.sample(1, np.random.default_rng(0))[0]))
    recipe = dataclasses.replace(default_recipe(task), epochs=16)
    return train_network(graph, task, recipe, seed=0), graph


def test_a_detector_learns_and_its_file_finds_the_same_boxes(task, trained):
    network, graph = trained
    value = score_network(network, task, "test", graph.input_shape)
    assert value > 0.3
    model = build_onnx(graph, network.arrays(), batch=5).SerializeToString()
    scorer = judge_onnx(model, task, "test")
    assert scorer.value() == pytest.approx(value, abs=1e-3)
    assert 0 < scorer.others()["ap"] < scorer.value()
    file = OnnxNetwork(model, task)
    for start in range(0, task.size("test"), 5):
        indices = np.arange(start, min(task.size("test"), start + 5))
        (found,) = file.outputs("test", indices)
        with torch.no_grad():
            own = network(task.inputs("test", indices, graph.input_shape)).numpy()
        np.testing.assert_allclose(found[..., 4], own[..., 4], atol=1e-4)
        sure = own[..., 4] > 0.2
        low, high = (choose(own[sure], found[sure]) for choose in (np.maximum, np.minimum))
        shared = np.prod(np.clip(high[:, 2:4] - low[:, :2], 0, None), axis=1)
        area, other = (np.prod(b[sure][:, 2:4] - b[sure][:, :2], axis=1) for b in (own, found))
        assert (shared / (area + other - shared) > 0.99).all()
        assert (own[sure][:, 5] == found[sure][:, 5]).all()


def test_a_picture_shows_boxes(task, trained):
    network, graph = trained

    def run(indices):
        with torch.no_grad():
            return [network(task.inputs("test", indices, graph.input_shape)).numpy()]

    (shown,) = task.exhibits(run)
    ((_, picture),) = shown.pictures
    assert picture.startswith(b"\x89PNG")


def test_spaces_that_do_not_fit_are_refused(task):
    with pytest.raises(SpaceError, match="its networks find no boxes; task detection needs --space fpn"):
        task.require_fit(make_space("nasbench201", image_size=64, classes=2, cells=1))
    with pytest.raises(EvaluatorError, match="2 classes, the space's networks find 5; set classes=2"):
        task.require_fit(make_space("fpn", classes=5, resolution=64))
    with pytest.raises(EvaluatorError, match="images have 3 channels, the space's networks read 1"):
        task.require_fit(make_space("fpn", classes=2, image_channels=1, resolution=64))

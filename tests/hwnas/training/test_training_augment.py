"""Augmentation: what each step does to a batch, and that a loader's epochs come out the same again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_toys import digits_task

from hwnas.tasks._image._augment import cutout, mixup
from hwnas.tasks._image._randaugment import OPERATIONS, randaugment
from hwnas.tasks._moves import moved_images
from hwnas.training import default_recipe
from hwnas.training._batches import TrainLoader


def test_augmentation_moves_and_mirrors_each_image() -> None:
    x = torch.arange(400 * 25, dtype=torch.float32).reshape(400, 1, 5, 5)
    assert torch.equal(moved_images(x, np.random.default_rng(0), shift=0.0, flip=False), x)
    moved = moved_images(x, np.random.default_rng(0), shift=0.2, flip=True)
    seen = set()
    for before, after in zip(x[:, 0], moved[:, 0], strict=True):
        for flipped in (False, True):
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    rows = (torch.arange(5) + down).clamp(0, 4)
                    columns = (torch.arange(5) + right).clamp(0, 4)
                    columns = columns.flip(0) if flipped else columns
                    if torch.equal(after, before[rows][:, columns]):
                        seen.add((flipped, down, right))
                        break
    assert len(seen) == 18


def squares(x: torch.Tensor) -> set[tuple[int, int, int, int]]:
    """First and last row and column of the zeros of each image; every image must have one rectangle of them."""
    found = set()
    for image in x[:, 0]:
        rows, columns = (image == 0).any(1).nonzero().flatten(), (image == 0).any(0).nonzero().flatten()
        assert bool((image == 0).sum() == len(rows) * len(columns))
        found.add((int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])))
    return found


def test_cutout_blanks_a_square_whose_centre_is_anywhere() -> None:
    x = torch.ones(4000, 2, 8, 6)
    found = squares(cutout(x, np.random.default_rng(0), 0.5))
    sides = {
        8: {(max(0, c - 2), min(7, c + 1)) for c in range(8)},
        6: {(max(0, c - 1), min(5, c + 1)) for c in range(6)},
    }
    assert found == {(*rows, *columns) for rows in sides[8] for columns in sides[6]}
    blanked = cutout(x, np.random.default_rng(0), 0.5)
    assert torch.equal(blanked[:, 0], blanked[:, 1])
    assert torch.equal(cutout(x, np.random.default_rng(0), 0.0), x)
    assert bool((x == 1).all())


def test_mixup_blends_images_and_labels_alike() -> None:
    labels = torch.arange(6)
    x = torch.eye(6)[:, :, None, None]  # the image shows its label
    proportions = []
    for seed in range(200):
        mixed, y = mixup(x, labels, np.random.default_rng(seed), alpha=0.4, classes=6)
        assert torch.allclose(mixed[:, :, 0, 0], y)
        assert torch.allclose(y.sum(1), torch.ones(6))
        assert int((y > 0).sum(1).max()) <= 2
        proportions.append(float(y[0].max()))
    beta = np.random.default_rng(0).beta(0.4, 0.4, 20000)
    assert np.mean(proportions) == pytest.approx(np.maximum(beta, 1 - beta).mean(), abs=0.05)


MEAN, STD = torch.tensor([0.5, 0.25]), torch.tensor([0.2, 0.5])
BLACK, WHITE = -MEAN / STD, (1 - MEAN) / STD


def pixels(x: torch.Tensor) -> torch.Tensor:
    """Values from 0 to 255."""
    return (x * STD[:, None, None] + MEAN[:, None, None]) * 255


def changed(operation: str, before: torch.Tensor, strength: float) -> torch.Tensor:
    """Images of pixels ``(C, H, W)``, 64 of them, after one operation."""
    x = ((before / 255 - MEAN[:, None, None]) / STD[:, None, None]).repeat(64, 1, 1, 1)

    class OneOperation:
        """Draws this operation, and both directions in turn."""

        def integers(self, low: int, high: int, size: tuple[int, ...]) -> np.ndarray:
            if high == len(OPERATIONS):
                return np.full(size, OPERATIONS.index(operation))
            return np.broadcast_to(np.arange(size[0])[:, None] % 2, size)

    kept = x.clone()
    after = pixels(randaugment(x, OneOperation(), strength, BLACK, WHITE))  # type: ignore[arg-type]
    assert torch.equal(x, kept)
    return after


PICTURE = torch.randint(0, 256, (2, 8, 8), generator=torch.Generator().manual_seed(0)).float()


@pytest.mark.parametrize("strength", [11, 30])
def test_randaugment_changes_values_as_pixels(strength: float) -> None:
    share, mean = strength / 30, PICTURE.mean((1, 2), keepdim=True)
    kept = 2 ** round(4 * share)
    expected = {
        "identity": [PICTURE, PICTURE],
        "brightness": [PICTURE * (1 - 0.9 * share), (PICTURE * (1 + 0.9 * share)).clamp(0, 255)],
        "contrast": [(mean + (1 + sign * 0.9 * share) * (PICTURE - mean)).clamp(0, 255) for sign in (-1, 1)],
        "posterize": [(PICTURE / kept).floor() * kept] * 2,
        "solarize": [torch.where(255 * (1 - share) < PICTURE, 255 - PICTURE, PICTURE)] * 2,
    }
    for operation, pair in expected.items():
        after = changed(operation, PICTURE, strength)
        for place, image in enumerate(pair):
            assert torch.allclose(after[place], image, atol=0.01), operation


def test_randaugment_moves_pixels() -> None:
    side, spot = 33, (16, 26)  # the centre's row, ten pixels to the right
    picture = (255 * MEAN)[:, None, None].repeat(1, side, side)
    picture[:, spot[0], spot[1]] = 255.0

    def spots(operation: str, strength: float) -> list[tuple[float, float]]:
        """Where the spot is then, in pixels right and down of the centre."""
        after = changed(operation, picture, strength)[:2, 0] - 255 * MEAN[0]
        down, right = torch.meshgrid(*[torch.arange(side) - 16.0] * 2, indexing="ij")
        return [(float((w * right).sum() / w.sum()), float((w * down).sum() / w.sum())) for w in after]

    ten = pytest.approx(10, abs=0.3)
    for right, down in spots("rotate", 30):
        assert (right, abs(down)) == (pytest.approx(10 * np.cos(np.pi / 6), abs=0.3), pytest.approx(5, abs=0.3))
    for right, down in spots("shear_y", 30):
        assert (right, abs(down)) == (ten, pytest.approx(3, abs=0.3))
    assert all((right, down) == (ten, pytest.approx(0, abs=0.1)) for right, down in spots("shear_x", 30))
    step = 33 * 150 / 331 / 3
    assert sorted(right for right, _ in spots("translate_x", 10)) == pytest.approx([10 - step, 10 + step], abs=0.3)
    assert sorted(down for _, down in spots("translate_y", 10)) == pytest.approx([-step, step], abs=0.3)


def test_randaugment_draws_two_operations_for_each_image() -> None:
    x = torch.rand(4000, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    x = BLACK[:, None, None] + x * (WHITE - BLACK)[:, None, None]
    after = randaugment(x, np.random.default_rng(0), 30, BLACK, WHITE)
    same = (after - x).abs().amax((1, 2, 3)) < 1e-4
    assert float(same.float().mean()) == pytest.approx(1 / len(OPERATIONS) ** 2, abs=0.005)
    assert torch.equal(after, randaugment(x, np.random.default_rng(0), 30, BLACK, WHITE))
    assert not torch.equal(after, randaugment(x, np.random.default_rng(1), 30, BLACK, WHITE))
    assert torch.allclose(randaugment(x, np.random.default_rng(0), 0, BLACK, WHITE), x, atol=1e-5)


def test_a_recipe_without_randaugment_is_that_of_earlier_versions() -> None:
    assert "randaugment" not in default_recipe(digits_task()).as_dict()
    assert "randaugment" not in default_recipe(digits_task(), randaugment=0).as_dict()
    assert default_recipe(digits_task(), randaugment=9).as_dict()["randaugment"] == 9


RECIPE = {"epochs": 1, "batch_size": 32, "shift": 0.125, "flip": True}


@pytest.mark.parametrize(
    "changes", [{}, {"cutout": 0.5}, {"mixup": 0.3}, {"cutout": 0.25, "mixup": 1.0, "randaugment": 9}]
)
def test_epochs_are_reproducible_and_differ(changes: dict[str, float]) -> None:
    task = digits_task()
    recipe = default_recipe(task, **{**RECIPE, **changes})

    def epoch(seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return list(TrainLoader(task, recipe, (1, 8, 8), "cpu").epoch(np.random.default_rng([seed, 1])))

    one, again, other = epoch(0), epoch(0), epoch(1)
    assert len(one) == task.size("train") // 32
    for (x, y), (x2, y2) in zip(one, again, strict=True):
        assert x.shape == (32, 1, 8, 8)
        assert y.shape == ((32, 10) if "mixup" in changes else (32,))
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)
    assert not torch.equal(one[0][0], other[0][0])


def test_batches_hold_their_own_labels() -> None:
    """Without augmentation every image of an epoch is a train image with its label."""
    task = digits_task()
    data = task.data
    known = {image.tobytes(): int(label) for image, label in zip(data.train.images, data.train.labels, strict=True)}
    loader = TrainLoader(task, default_recipe(task, **{**RECIPE, "shift": 0.0, "flip": False}), (1, 8, 8), "cpu")
    for x, labels in loader.epoch(np.random.default_rng(0)):
        pixels = ((x * data.std[0] + data.mean[0]) * 255).round().to(torch.uint8).numpy()
        assert [known[image.tobytes()] for image in pixels] == labels.tolist()


@pytest.mark.parametrize("scaling", ["0-1", "pm1", "0.3/0.01"])
def test_augmentation_does_not_depend_on_how_pixels_become_inputs(scaling: str) -> None:
    task = digits_task()
    settings = {"shift": 0.1, "flip": True, "randaugment": 20.0, "cutout": 0.5, "mixup": 0.2}
    made = []
    for each in (task, task.with_scaling(scaling)):
        x = each.inputs("train", slice(64), each.input_shape)
        labels = torch.from_numpy(np.asarray(each.targets("train", slice(64))))
        x, _ = each.augment(x, labels, np.random.default_rng(0), settings)
        mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (each._data.mean, each._data.std))
        made.append(x * std + mean)
    same = torch.isclose(made[1], made[0], rtol=1e-4, atol=1e-4)
    assert same.double().mean() > 0.995  # posterize rounds, and a pixel may be at an edge

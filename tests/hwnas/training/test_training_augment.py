"""Augmentation: what each step does to a batch, and that a loader's epochs come out the same again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_toys import digits_task

from hwnas.tasks._image._augment import cutout, mixup
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


RECIPE = {"epochs": 1, "batch_size": 32, "shift": 0.125, "flip": True}


@pytest.mark.parametrize("changes", [{}, {"cutout": 0.5}, {"mixup": 0.3}, {"cutout": 0.25, "mixup": 1.0}])
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

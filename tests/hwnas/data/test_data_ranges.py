"""Which numbers are grey levels: judged with tolerance, refused where they could be either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas._errors import DataError
from hwnas.data import load_data
from hwnas.data._ranges import LEVELS, UNIT, Found

X = np.arange(240, dtype=np.uint8).reshape(20, 3, 4)
Y = np.repeat([0, 1], 10)


def loaded(path: Path, train: np.ndarray, test: np.ndarray | None = None) -> np.ndarray:
    more = {} if test is None else {"x_test": test, "y_test": Y[: len(test)]}
    np.savez(path / "d.npz", x_train=train, y_train=Y, **more)
    data = load_data(str(path / "d.npz"))
    return np.sort(np.concatenate([p.images.ravel() for p in (data.train, data.validation, data.test)]))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize(("lift", "scale"), [(0.0, 1 / 255), (1e-7, 1 / 255), (-1e-7, 1 / 255), (1e-4, 1 / 255)])
def test_values_around_0_to_1_keep_all_their_levels(tmp_path: Path, kind: str, lift: float, scale: float) -> None:
    images = X.copy()
    images[0, 0, :2] = 0, 255
    found = loaded(tmp_path, ((images * scale) * (1 + lift) + (lift if lift < 0 else 0)).astype(kind))
    np.testing.assert_array_equal(found, np.sort(images.ravel()))


@pytest.mark.parametrize("lift", [0.0, 1e-3, -1e-3, 0.4])
def test_values_around_0_to_255_keep_all_their_levels(tmp_path: Path, lift: float) -> None:
    images = X.copy()
    images[0, 0, :2] = 0, 255
    np.testing.assert_array_equal(loaded(tmp_path, images + lift), np.sort(images.ravel()))


def test_whole_levels_may_be_few_and_dark(tmp_path: Path) -> None:
    images = X % 17
    np.testing.assert_array_equal(loaded(tmp_path, images.astype(np.float32)), np.sort(images.ravel()))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.0, 1.7, "0 to 1.7"),
        (-0.3, 2.0, "-0.3 to 2"),
        (0.0, 1.01, "0 to 1.01"),
        (-0.1, 1.0, "-0.1 to 1"),
        (0.0, 16.5, "0 to 16.5"),
        (-1.0, 1.0, "-1 to 1"),
        (-2.1, 2.6, "-2.1 to 2.6"),
        (0.0, 256.0, "0 to 256"),
        (0.0, 65535.0, "0 to 65535"),
        (0.0, np.inf, "0 to inf"),
        (-np.inf, 1.0, "-inf to 1"),
    ],
)
def test_ranges_that_could_be_anything_are_refused(tmp_path: Path, low: float, high: float, said: str) -> None:
    values = np.full(X.shape, 0.5)
    values.flat[0], values.flat[-1] = low, high
    with pytest.raises(DataError) as caught:
        loaded(tmp_path, values)
    wanted = f"x_train holds values from {said}; give 0-1, 0-255 or uint8"
    assert str(caught.value) == f"data {tmp_path / 'd.npz'}: {wanted}"


@pytest.mark.parametrize("train", [X, X.astype(np.float64), X + 0.25])
def test_a_part_on_another_scale_is_refused(tmp_path: Path, train: np.ndarray) -> None:
    for test in (X[:4] / 255.0 + 0.01, X[-4:] / 255.0, X[:4] / 255.0 * 1.0000001):
        with pytest.raises(DataError, match=r"x_test holds values from .*; give 0-255 like x_train$"):
            loaded(tmp_path, train, test)
    assert len(loaded(tmp_path, train, np.zeros((2, 3, 4)))) == X.size + 24  # black is black on both
    assert len(loaded(tmp_path, train, X[:4] * 0.5 + 3)) == X.size + 48


def test_scales_of_pieces_are_those_of_the_whole() -> None:
    pieces = [np.array([0.0, 1.0]), np.array([0.5]), np.array([1.0000001])]
    assert Found.of(pieces).scale == UNIT
    assert Found.of([*pieces, np.array([200.0])]).scale == LEVELS
    assert Found.of([*pieces, np.array([np.nan]), np.array([0.0])]).scale is None

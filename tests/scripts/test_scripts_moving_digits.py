"""The generator of moving digits: the label is in the order of the frames and in nothing else."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from write_moving_digits import DIRECTIONS, LIFE, SPEEDS, main, make_parts, moving_digits

from hwnas.data import load_clips

DOT = np.full((1, 1, 1), 255, np.uint8)


def test_digits_move_in_the_direction_of_the_label():
    clips, labels = moving_digits(160, frames=8, size=24, pictures=DOT, seed=0)
    assert np.bincount(labels).tolist() == [20] * 8
    steps = list(DIRECTIONS.values())
    for clip, label in zip(clips[:, 0], labels, strict=True):
        kept = 0
        for before, after in pairwise(clip):
            there = {tuple(place) for place in np.argwhere(after)}
            for row, column in np.argwhere(before):
                moves = {((row + s * steps[label][0]) % 24, (column + s * steps[label][1]) % 24) for s in SPEEDS}
                kept += bool(there & moves)
        assert kept >= 14 - 2 * (8 // LIFE + 1)  # all but those that end their life


def test_single_frames_do_not_tell_the_label():
    arrays = make_parts(1600, frames=6, size=12, seed=0)
    standard_error = np.sqrt(1 / 8 * 7 / 8 / len(arrays["y_test"]))
    for number in (0, 3, 5):
        train, test = (arrays[f"x_{part}"][:, 0, number].reshape(-1, 144) / 255 for part in ("train", "test"))
        model = LogisticRegression(C=0.01, max_iter=2000).fit(train, arrays["y_train"])
        assert model.score(test, arrays["y_test"]) < 1 / 8 + 4 * standard_error


def test_the_folder_holds_the_arrays(tmp_path, monkeypatch, capsys):
    for out in ("a.npz", "folder"):
        monkeypatch.setattr(
            sys, "argv", ["write", str(tmp_path / out), "--clips", "64", "--frames", "3", "--size", "8"]
        )
        main()
    assert "64 clips to train on, 16 to test on" in capsys.readouterr().out
    stored, folder = load_clips(str(tmp_path / "a.npz")), load_clips(str(tmp_path / "folder"))
    assert folder.classes == tuple(DIRECTIONS)
    order = np.argsort(stored.test.labels, kind="stable")
    assert np.array_equal(folder.test.images, stored.test.images[order])
    monkeypatch.setattr(sys, "argv", ["write", str(tmp_path / "b.npz"), "--clips", "3"])
    with pytest.raises(SystemExit):
        main()

"""The generator of long-range signals: the label is in the distance of two pulses and in nothing local."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from write_long_range import FROM_ENDS, PULSE, RANGES, long_range, main, make_parts

from hwnas.tasks import make_task


def starts_of(signal):
    """Where the pulses of a signal without noise begin."""
    there = np.concatenate([[0], signal[0] > 0, [0]])
    return np.flatnonzero(np.diff(there) == 1)


def test_the_label_is_the_range_of_the_distance():
    signals, labels = long_range(80, channels=2, length=1000, noise=0.0, seed=0)
    assert np.bincount(labels).tolist() == [20] * 4
    for signal, label in zip(signals, labels, strict=True):
        first, second = starts_of(signal)
        low, high = RANGES[label]
        assert low <= second - first <= high
        assert first >= FROM_ENDS
        assert second + PULSE <= 1000 - FROM_ENDS
        assert np.array_equal(signal[0], signal[1])


def test_nothing_about_single_pulses_tells_the_label():
    signals, labels = long_range(4000, channels=1, length=1000, noise=0.0, seed=0)
    firsts = np.array([starts_of(signal)[0] for signal in signals])
    for feature in (firsts, signals.max(axis=(1, 2)), signals.sum(axis=(1, 2))):
        means = [feature[labels == label].mean() for label in range(4)]
        standard_error = feature.std() / np.sqrt(1000)
        assert np.ptp(means) < 5 * standard_error


def test_a_search_reads_the_file(tmp_path, monkeypatch, capsys):
    path = tmp_path / "a.npz"
    monkeypatch.setattr(sys, "argv", ["write", str(path), "--signals", "64", "--channels", "3", "--length", "700"])
    main()
    assert "64 signals to train on, 16 to test on" in capsys.readouterr().out
    task = make_task("signal", str(path))
    assert task.input_shape == (3, 700)
    assert task.size("test") == 16
    again = make_parts(64, channels=3, length=700, noise=1.0, seed=0)
    assert np.array_equal(np.load(path)["x_test"], again["x_test"])
    monkeypatch.setattr(sys, "argv", ["write", str(path), "--length", "600"])
    with pytest.raises(SystemExit):
        main()

"""Signals as a task: both kinds of labels, augmentation, scaling, what is refused, and what follows from the data."""

import numpy as np
import pytest
import signal_toys
import torch
from signal_toys import arrays, plain_space, tone_folder

from hwnas._cli import main
from hwnas._errors import DataError, EvaluatorError, SpaceError
from hwnas.data import load_signals
from hwnas.spaces import make_space
from hwnas.tasks import SignalTask, make_task, metric_named, usual_space, usual_task
from hwnas.tasks._signal import RELATIVE_ERROR, RMSE
from hwnas.tasks._signal._augment import amplified, channel_masked, noisy, shifted, time_masked
from hwnas.testing import check_metric, check_task
from hwnas.training import default_recipe


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """A task of values."""
    return make_task("signal", str(arrays(tmp_path_factory.mktemp("values") / "v.npz", values=True)))


def test_values_keep_the_contract(values):
    check_task(values, plain_space(image_channels=2, image_size=64, classes=1))
    check_metric(RMSE)
    check_metric(RELATIVE_ERROR)


def test_a_front_end_knows_the_rate_of_the_files(tmp_path, values):
    task = make_task("signal", str(tone_folder(tmp_path / "tones")))
    rate = task.data.loading["rate"]
    assert task.sample_rate == rate
    assert values.sample_rate is None  # arrays do not say it


def test_networks_may_read_the_middle(values):
    space = plain_space(image_channels=2, image_size=40, classes=1)
    check_task(values, space)
    whole = values.inputs("test", slice(3), (2, 64))
    assert torch.equal(values.inputs("test", slice(3), (2, 40)), whole[:, :, 12:52])
    assert torch.equal(values.at_shape(whole, (2, 40)), whole[:, :, 12:52])
    assert values.metadata((2, 40))["preprocessing"]["steps"][-1] == "take the middle 40 samples"


def test_errors_of_values_are_in_their_unit(values):
    targets = values.targets("test", slice(None)).astype(np.float64)
    outputs = np.zeros((len(targets), 1), np.float32)  # the mean of the train part
    errors = values.values_of(outputs) - targets
    mean = values.data.train.targets.mean()
    np.testing.assert_allclose(errors, mean - targets, atol=1e-6)
    for metric, wanted in (
        (RMSE, np.sqrt(np.square(errors).mean())),
        (RELATIVE_ERROR, np.linalg.norm(errors) / np.linalg.norm(targets)),
    ):
        scorer = SignalTask(values.data, metric).scorer()
        scorer.add([outputs], values.targets("test", slice(None)))
        assert scorer.value() == pytest.approx(wanted, rel=1e-5)
    assert (values.metric, metric_named("rmse"), metric_named("relative_error")) == (RMSE, RMSE, RELATIVE_ERROR)
    assert SignalTask(values.data, RELATIVE_ERROR).fingerprint != values.fingerprint


def test_a_metric_must_go_with_the_labels(tmp_path):
    path = str(arrays(tmp_path / "x.npz"))
    assert make_task("signal", path, metric="rmse").outputs[0].size == 1  # whole numbers may be values
    with pytest.raises(DataError, match=r"--metric of signals must be accuracy, rmse, relative_error, got 'auc'"):
        make_task("signal", path, metric="auc")
    with pytest.raises(DataError, match="labels are classes, so the metric cannot be rmse; give another --metric"):
        SignalTask(load_signals(path), RMSE)


def test_options_of_other_tasks_are_refused(tmp_path):
    path = str(arrays(tmp_path / "x.npz"))
    for task, option, line in (
        ("signal", {"image_size": 8}, "--image-size is not an option of task signal; leave it out"),
        ("image", {"window": 8}, "--window is not an option of task image; leave it out, or give --task signal"),
        ("signal", {"wimdow": 8}, "--data-option wimdow is not an option of task signal; leave it out"),
    ):
        with pytest.raises(DataError, match=line):
            make_task(task, path, **option)


def test_options_of_the_whole_search_are_no_data_options(capsys):
    for option, line in (
        ("seed=3", "--data-option cannot set seed; give --seed"),
        ("image_size=8", "--data-option cannot set image_size; give --image-size"),
        ("window=wide", "--window must be a whole number, got 'wide'"),
    ):
        assert main(["search", "--data-option", option]) == 2
        assert line in capsys.readouterr().err
    assert main(["search", "--window", "8", "--data-option", "window=8"]) == 2
    assert "window is given twice, as --window and as --data-option" in capsys.readouterr().err


def test_spaces_that_do_not_fit_are_refused(values):
    for space, error, line in (
        (
            make_space("nasbench201", image_size=8),
            SpaceError,
            "reads inputs of 3x8x8, but signals are channels x length",
        ),
        (
            plain_space(image_size=64, classes=1),
            EvaluatorError,
            "signals have 2 channels, the space's networks read 1; set image_channels=2",
        ),
        (
            plain_space(image_channels=2, classes=1),
            EvaluatorError,
            "signals have 64 samples, .* read 400; set image_size=64",
        ),
        (
            plain_space(image_channels=2, image_size=64),
            EvaluatorError,
            "must give 1 output, the space's give 3; set classes=1",
        ),
    ):
        with pytest.raises(error, match=line):
            values.require_fit(space)
    assert values.misfit(["batch", 2, 65]) == "does not take signals of 2 x 64 (channels x samples)"
    assert values.misfit(["batch", 2, "n"]) is not None


def test_scaling_is_chosen_by_name_or_written(values):
    x = values.inputs("train", slice(None), (2, 64))
    np.testing.assert_allclose(x.mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 2), correction=0), 1, atol=1e-4)
    plain = values.with_scaling("none")
    assert torch.equal(plain.inputs("test", slice(2), (2, 64)), torch.from_numpy(values.data.test.signals[:2]))
    assert plain.with_scaling("0,1/2").data.std == (2.0, 2.0)
    assert plain.fingerprint != values.fingerprint == plain.with_scaling("data").fingerprint
    for text in ("imagenet", "1,2,3/1", "0/0", ""):
        with pytest.raises(DataError, match="--input-scaling"):
            values.with_scaling(text)


def test_recipes_follow_from_what_signals_are(values, tmp_path):
    sound = make_task("signal", str(tone_folder(tmp_path, speakers=("ann",), takes=3)))
    assert default_recipe(sound).task_settings["shift"] == 0.1
    assert default_recipe(values).task_settings["shift"] == 0
    assert "label_smoothing" not in values.options
    with pytest.raises(EvaluatorError, match="training: gain must be 0 to 60, got 61"):
        default_recipe(values, gain=61)


# augmentation


@pytest.fixture
def x():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((50, 3, 40)).astype(np.float32)) + 5


def rng():
    return np.random.default_rng(1)


def test_shifted_signals_keep_their_samples(x):
    moved = shifted(x, rng(), 0.25)
    offsets = set()
    for before, after in zip(x, moved, strict=True):
        found = [
            offset
            for offset in range(-10, 11)
            if torch.equal(after, before[:, torch.arange(40).add(offset).clamp(0, 39)])
        ]
        assert len(found) == 1
        offsets.add(found[0])
    assert min(offsets) < -7
    assert max(offsets) > 7


def test_gain_is_one_factor_a_signal(x):
    ratio = amplified(x, rng(), 6.0) / x
    assert torch.allclose(ratio, ratio[:, :1, :1].expand_as(ratio), rtol=1e-4)
    decibels = 20 * ratio[:, 0, 0].log10()
    assert -6.01 < decibels.min() < -4
    assert 4 < decibels.max() < 6.01


def test_noise_differs_in_strength(x):
    strength = (noisy(x, rng(), 0.5) - x).std((1, 2))
    assert strength.max() < 0.6
    assert strength.min() < 0.1
    assert strength.max() > 0.35


def test_masked_spans_are_zero_in_all_channels(x):
    masked = time_masked(x, rng(), 0.5)
    zero = (masked == 0).all(1)
    assert torch.equal(zero, (masked == 0).any(1))
    lengths = zero.sum(1)
    assert lengths.max() <= 20
    assert lengths.max() > 15
    assert lengths.min() < 5
    assert torch.equal((zero[:, 1:] != zero[:, :-1]).sum(1) <= 2, torch.ones(50, dtype=torch.bool))
    assert torch.equal(masked[~zero[:, None].expand_as(x)], x[~zero[:, None].expand_as(x)])


def test_a_channel_is_always_left(x):
    masked = channel_masked(x, rng(), 0.9)
    gone = (masked == 0).all(2)
    assert 1.2 < gone.sum(1).float().mean() < 2.1
    assert gone.sum(1).max() == 2
    assert torch.equal(masked[~gone], x[~gone])


def test_defaults_follow_from_the_data(tmp_path):
    root = str(tone_folder(tmp_path, speakers=("ann",), takes=3))
    assert usual_task(root) == make_task(None, root).name == "signal"
    assert (usual_space("signal"), usual_space("image"), usual_space("mine")) == (
        "convnet1d",
        "mobilenetv3",
        "mobilenetv3",
    )
    assert signal_toys.plain_space().input_shape is not None


@pytest.mark.parametrize("scaling", ["none", "0/0.001", "9.81,-3/2,0.5"])
def test_augmentation_does_not_depend_on_what_the_network_reads(tmp_path, scaling):
    task = make_task("signal", str(arrays(tmp_path / "a.npz")))
    other = task.with_scaling(scaling)
    settings = {"shift": 0.1, "gain": 6.0, "noise": 0.3, "time_mask": 0.3, "channel_mask": 0.5}

    def signals(task):
        x = task.inputs("train", slice(None), task.input_shape)
        made, _ = task.augment(x, np.zeros(len(x)), np.random.default_rng(0), settings)
        mean, std = (torch.tensor(values).reshape(-1, 1) for values in (task.data.mean, task.data.std))
        return made * std + mean

    torch.testing.assert_close(signals(other), signals(task), rtol=1e-4, atol=1e-4)

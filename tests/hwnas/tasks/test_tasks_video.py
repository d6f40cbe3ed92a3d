"""The task of clips: augmentation of whole clips, what fits, exhibits; a search end to end."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clips import dots, write_folder, write_npz
from simulated_device import AdditiveBackend

import hwnas
from hwnas._api._settings import search_settings
from hwnas._errors import DataError, EvaluatorError, SpaceError
from hwnas.spaces import make_space
from hwnas.tasks import VideoClassification, make_task, usual_space, usual_task
from hwnas.training import Supernet


@pytest.fixture
def task(tmp_path):
    return make_task(None, str(write_npz(tmp_path / "clips.npz")))


def test_data_decide_on_task_and_space(tmp_path, task):
    folder = str(write_folder(tmp_path / "folder"))
    assert isinstance(task, VideoClassification)
    assert (usual_task(folder), usual_task(task.data_name), usual_task("digits")) == ("video", "video", "image")
    assert usual_space("video") == "video"
    assert make_task("image", folder).input_shape == (1, 8, 8)
    with pytest.raises(DataError, match="--frames is not an option of task image; leave it out, or give --task video"):
        make_task("image", folder, frames=4)


def test_options_of_one_task_select_it(tmp_path):
    odd = write_folder(tmp_path / "folder")  # frames whose names do not look like frames
    for path in sorted((odd / "train").rglob("*.png")):
        path.rename(path.with_name(f"{path.stem}-{'a' * int(path.stem)}x.png"))
    assert usual_task(str(odd)) == "image"
    assert make_task(None, str(odd), frames=2).name == usual_task(str(odd), {"frames"}) == "video"
    assert search_settings({"data": str(odd), "frames": 2}).space == "video"
    assert search_settings({"data": str(odd), "window": 2}).space == "convnet1d"
    assert (usual_task(str(odd), {"image_size"}), usual_task(str(odd), {"frames", "hop"})) == ("image", "image")
    with pytest.raises(DataError, match="--hop is not an option of task image; leave it out, or give --task signal"):
        make_task(None, str(odd), hop=2, frames=2)


def test_frames_of_a_clip_move_together(task):
    x = torch.arange(6.0)[None, None, :, None, None] * 100 + torch.arange(64.0).reshape(8, 8)
    clips = x.repeat(40, 1, 1, 1, 1)
    settings = {"shift": 0.25, "time_shift": 0.0, "flip": False}
    moved, _ = task.augment(clips, None, np.random.default_rng(0), settings)
    assert not torch.equal(moved, clips)
    assert torch.equal(moved - moved[:, :, :1], clips - clips[:, :, :1])  # every frame by the same offset
    later, _ = task.augment(clips, None, np.random.default_rng(0), {**settings, "shift": 0.0, "time_shift": 0.34})
    orders = {tuple((clip[0, :, 0, 0] // 100).int().tolist()) for clip in later}
    assert orders == {tuple(np.clip(np.arange(6) + by, 0, 5).tolist()) for by in range(-2, 3)}
    flipped, _ = task.augment(clips, None, np.random.default_rng(0), {**settings, "shift": 0.0, "flip": True})
    mirrored = [bool((clip == x[0].flip(-1)).all()) for clip in flipped]
    assert 0 < sum(mirrored) < 40
    assert all(both or bool((clip == x[0]).all()) for both, clip in zip(mirrored, flipped, strict=True))
    assert task.default_recipe()["flip"] is False
    assert make_task(None, task.data_name).options["flip"].default is False


def test_inputs_are_normalised_and_resized_frame_by_frame(task):
    small = task.inputs("test", slice(None), (1, 4, 4, 4))
    for t in range(4):
        frame = torch.nn.functional.interpolate(
            task.inputs("test", slice(None), (1, 4, 8, 8))[:, :, t], (4, 4), mode="bilinear", antialias=True
        )
        torch.testing.assert_close(small[:, :, t], frame)
    assert float(task.inputs("train", slice(None), (1, 4, 8, 8)).mean()) == pytest.approx(0, abs=1e-5)


def test_what_does_not_fit_is_one_line(task):
    fits = {"image_size": 8, "frames": 4, "classes": 2}
    task.require_fit(make_space("video", **fits))
    for change, line in (
        ({"frames": 3}, "clips have 4 frames, the space's networks read 3; set frames=4"),
        ({"classes": 5}, "2 classes, the space's networks output 5; set classes=2"),
        ({"image_channels": 3}, "1 channel, the space's networks read 3; set image_channels=1"),
    ):
        with pytest.raises(EvaluatorError, match=line):
            task.require_fit(make_space("video", **{**fits, **change}))
    with pytest.raises(SpaceError, match=r"a network reads samples of 3 axes, those of .* have 4"):
        task.require_fit(make_space("mobilenetv3", classes=2, image_channels=1))
    with pytest.raises(SpaceError, match="a network reads samples of 4 axes, those of digits have 3"):
        make_task("image", "digits", limit=60).require_fit(make_space("video", classes=10))
    assert "does not take clips of 4 frames with 1 channels" in str(task.misfit([1, 1, 5, 8, 8]))


def test_exhibits_count_and_show(task):
    labels = task.data.test.labels
    logits = np.eye(2, dtype=np.float32)[labels]
    logits[0] = logits[0, ::-1]  # one wrong answer
    table, strips = task.exhibits(lambda indices: [logits[indices]])
    assert table.rows == (("class", "0", "1", "right"), ("0", "3", "1", "75.0%"), ("1", "", "4", "100.0%"))
    assert [caption for caption, _ in strips.pictures] == [
        "0, answer 0 (73%)",
        "1, answer 1 (73%)",
        "0, answer 1 (73%)",
    ]
    assert all(png.startswith(b"\x89PNG") for _, png in strips.pictures)


def test_middle_operators_share_their_weights():
    space = make_space("video", image_size=8, frames=4, classes=2, width=[0.5])
    net, x = Supernet(space), torch.from_numpy(dots(8)[0]).float() / 255
    for middle in ("3x3x3", "shift", "sum", "3x1x1", "1x5x5", "skip"):
        net(x, space.everywhere(middle)).square().sum().backward()
    assert all(tensor.grad is not None for tensor in net.shared().values())
    whole = net.shared()["stage0.block1.depthwise.weight"]
    assert tuple(whole.shape[2:]) == (3, 5, 5)
    for middle, part in (("1x3x3", whole[:32, :, 1:2, 1:4, 1:4]), ("3x1x1", whole[:32, :, :, 2:3, 2:3])):
        own = net.weights(space.everywhere(middle))["stage0.block1.depthwise.weight"]
        assert torch.equal(own, part)


def test_a_search_over_clips_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})
    data, out, device = write_folder(tmp_path / "folder"), tmp_path / "run", AdditiveBackend()
    space = make_space("video", classes=2, frames=4, image_size=8, width=[0.25])
    table = hwnas.profile(space, device, out=tmp_path / "prices.json", networks=2)
    hwnas.search(data=data, width=0.25, table=table, device=device, offline=True, samples=3, epochs=1, out=out)
    settings = json.loads((out / "settings.json").read_text())["settings"]
    assert (settings["space"], settings["task"]) == ("video", None)
    page = (out / "report.html").read_text()
    assert "Confusion matrix" in page
    assert page.count("<p>left, answer") > 0
    program = [sys.executable, str(out / "deploy" / "predict.py")]
    clip = data / "test" / "left" / "clip00"
    answer = subprocess.run([*program, str(clip)], capture_output=True, text=True, check=True).stdout
    assert answer.startswith(f"{clip}: ")
    tests = [
        subprocess.run([*program, "--test", str(path)], capture_output=True, text=True, check=True).stdout
        for path in (data, data / "test")
    ]
    assert tests[0] == tests[1]
    here, there = (line.split()[1] for line in tests[0].splitlines())
    assert here == there


@pytest.mark.parametrize("channels", [1, 3])
def test_predict_reads_clips_as_hwnas_does(tmp_path, channels):
    """Folders and npz files, scaled and with frames left out: the same inputs, to rounding."""
    spec = importlib.util.spec_from_file_location("predict", Path(hwnas.__file__).with_name("_deploy") / "predict.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    folder = write_folder(tmp_path / "folder", frames=5, size=12, channels=channels)
    file = write_npz(tmp_path / "clips.npz", frames=5, size=12, channels=channels, dtype=np.float32, scale=1 / 255)
    for data in (folder, file):
        task = make_task(None, str(data), image_size=8, frames=3)
        shape = (channels, 3, 6, 6)
        preparing = json.loads(json.dumps(task.metadata(shape)))["preprocessing"]
        network = SimpleNamespace(preparing=preparing, signals=None, frames=3, shape=shape, classes=[], groups=[])
        items, _, _ = program.labelled(data, network)
        got = np.stack([item if isinstance(item, np.ndarray) else program.ready(item, preparing) for item in items])
        np.testing.assert_allclose(got, task.inputs("test", slice(None), shape).numpy(), atol=2e-3)
    with pytest.raises(program.InputError, match="a clip of 5 frames, the network reads 9"):
        program.clip_files(folder / "test", 9)
    with pytest.raises(program.InputError, match="is no clip; give a folder of frames"):
        program.named_samples(folder / "test" / "left" / "clip00" / "000.png", network)

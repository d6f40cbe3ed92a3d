"""Clips from folders of frames and from npz files, and what is wrong with them in one line."""

import shlex
import shutil
import subprocess
from pathlib import Path, PurePath

import numpy as np
import pytest
from clips import CLASSES, dots, write_folder, write_npz
from PIL import Image

from hwnas._errors import DataError
from hwnas.data import is_clips, load_clips
from hwnas.data._pixels import even_frames, frame_order


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "clips")


def refused(spec, **options):
    """The one line of an error."""
    with pytest.raises(DataError) as caught:
        load_clips(str(spec), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_and_an_npz_file_of_the_same_clips(folder, tmp_path):
    clips, stored = load_clips(str(folder)), load_clips(str(write_npz(tmp_path / "clips.npz")))
    assert (clips.channels, clips.frames, clips.native_size, clips.classes) == (1, 4, (8, 8), CLASSES)
    assert (len(clips.train), len(clips.validation), len(clips.test)) == (18, 6, 8)
    assert (stored.frames, stored.classes) == (4, ("0", "1"))
    order = np.argsort(dots(8, seed=1)[1], kind="stable")  # folders come class by class
    assert np.array_equal(clips.test.images, stored.test.images[order])
    assert np.array_equal(clips.test.labels, stored.test.labels[order])
    assert clips.notes == ()
    assert clips.mean == pytest.approx(stored.mean, abs=0.02)


@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1 / 255), (np.float64, 1.0)])
def test_floats_are_grey_levels(tmp_path, dtype, scale):
    stored = load_clips(str(write_npz(tmp_path / "a.npz", dtype=dtype, scale=scale)))
    assert stored.train.images.dtype == np.uint8
    assert set(np.unique(stored.train.images)) == {0, 200}


def test_frames_come_in_the_order_of_their_numbers(folder, tmp_path):
    clip = next(path for path in sorted((folder / "train").rglob("*")) if path.is_dir() and any(path.glob("*.png")))
    frames = sorted(clip.glob("*.png"))
    expected = [np.array(Image.open(frame)) for frame in frames]
    assert [PurePath(p).name for p in sorted(["a/f10.png", "a/f9.png", "a/f1.png"], key=frame_order)] == [
        "f1.png",
        "f9.png",
        "f10.png",
    ]
    for number, frame in enumerate(frames):
        frame.rename(clip / f"frame{number + 8}.png")  # 8, 9, 10, 11
    data = load_clips(str(folder))
    found = [np.array_equal(images[0], np.stack(expected)) for images in data.train.images]
    assert sum(found) >= 1 or any(np.array_equal(i[0], np.stack(expected)) for i in data.validation.images)


def test_frames_are_taken_evenly_and_scaled(folder, tmp_path):
    assert even_frames(8, 4).tolist() == [1, 3, 5, 7]
    assert even_frames(5, 5).tolist() == [0, 1, 2, 3, 4]
    full, some = load_clips(str(folder)), load_clips(str(folder), frames=2, image_size=4)
    assert some.test.images.shape == (8, 1, 2, 4, 4)
    path = write_npz(tmp_path / "clips.npz")
    stored, fewer = load_clips(str(path)), load_clips(str(path), frames=2, image_size=4)
    assert np.array_equal(load_clips(str(path), frames=2).test.images, stored.test.images[:, :, [1, 3]])
    assert np.array_equal(load_clips(str(folder), frames=2).test.images, full.test.images[:, :, [1, 3]])
    order = np.argsort(stored.test.labels, kind="stable")
    assert np.array_equal(some.test.images, fewer.test.images[order])


def test_the_shortest_clip_decides_and_colour_wins(folder):
    clip = folder / "train" / "left" / "clip00"
    (clip / "003.png").unlink()
    Image.open(clip / "001.png").convert("RGB").save(clip / "001.png")
    clips = load_clips(str(folder))
    assert (clips.frames, clips.channels) == (3, 3)


def test_what_looks_like_clips(folder, tmp_path):
    assert is_clips(str(folder))
    assert is_clips(str(folder / "train"))
    assert is_clips(str(write_npz(tmp_path / "clips.npz")))
    images = tmp_path / "images.npz"
    np.savez(images, x_train=np.zeros((4, 8, 8), np.uint8), y_train=np.arange(4) % 2)
    assert not is_clips(str(images))
    assert not is_clips(str(tmp_path / "absent"))
    assert not is_clips("digits")
    for path in sorted((folder / "train").rglob("*.png")):
        path.rename(path.with_name(f"{int(path.stem) ** 2 + 5}.png"))  # pictures of one kind, not one after the other
    assert not is_clips(str(folder))


@pytest.mark.parametrize("how", ["empty", "stray", "gap"])
def test_one_odd_clip_or_frame_leaves_a_folder_one_of_clips(folder, how):
    clip = folder / "train" / "left" / "clip00"
    if how == "stray":
        shutil.copy(clip / "000.png", folder / "train" / "left" / "stray.png")
        why = "stray.png: a frame in the class folder itself"
    elif how == "empty":
        shutil.rmtree(clip)
        clip.mkdir()
        why = "clip00: a clip without frames"
    else:
        (clip / "001.png").unlink()
        why = None
    assert is_clips(str(folder))
    if why is not None:
        assert why in refused(folder)


def test_images_with_a_folder_of_more_stay_images(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name / "more").mkdir(parents=True)
        for i in range(4):
            Image.new("L", (8, 8)).save(tmp_path / name / f"{i}.png")
            Image.new("L", (8, 8)).save(tmp_path / name / "more" / f"{i}.png")
    assert not is_clips(str(tmp_path))


def test_a_short_clip_that_shortens_all_is_said(folder):
    (folder / "train" / "left" / "clip00" / "003.png").unlink()
    (note,) = load_clips(str(folder)).notes
    assert note.startswith("clips of 3 to 4 frames give 3 frames each, as many as ")
    assert "left/clip00 has, evenly over their time; --frames N changes that, after shorter clips are removed" in note
    assert load_clips(str(folder), frames=2).notes == ()


def test_video_files_are_refused_with_a_command(tmp_path):
    for name in ("left", "right"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "a b.mp4").write_bytes(b"")
    assert is_clips(str(tmp_path))
    place = f"'{tmp_path}/train/left/a b'"
    assert refused(tmp_path).endswith(f"mkdir {place} && ffmpeg -i '{tmp_path}/train/left/a b.mp4' {place}/%05d.png")


def test_what_is_wrong_with_a_folder(folder, tmp_path):
    clip = folder / "train" / "left" / "clip00"
    shutil.copy(clip / "000.png", folder / "train" / "left" / "loose.png")
    assert "loose.png: a frame in the class folder itself; give each clip a folder of its own" in refused(folder)
    (folder / "train" / "left" / "loose.png").unlink()
    assert "clip00: a clip of 4 frames, but --frames is 5; lower it, or remove the clip" in refused(folder, frames=5)
    Image.new("L", (9, 8)).save(clip / "002.png")
    assert "002.png: 9x8 pixels, but" in refused(folder)
    (clip / "002.png").write_bytes(b"no picture")
    assert "002.png: cannot be read as an image (unknown format or damaged header)" in refused(folder)
    shutil.rmtree(clip)
    clip.mkdir()
    assert "clip00: a clip without frames; add images or remove the folder" in refused(folder)
    assert "does not exist; give a folder of clips (<class>/<clip>/*) or an .npz file" in refused(tmp_path / "absent")
    assert "--frames must be 1 to 1024, got 0" in refused(folder, frames=0)


def test_what_is_wrong_with_an_npz_file(tmp_path):
    path = tmp_path / "clips.npz"
    x, y = dots(12)
    np.savez(path, x_train=x[:, 0], y_train=y)
    assert "it must be (N, C, T, H, W) with C = 1 or 3" in refused(path)
    np.savez(path, x_train=x, y_train=y, x_test=x[:, :, :3], y_test=y)
    assert "clips of x_test are 3x8x8x1, those of x_train 4x8x8x1" in refused(path)
    assert "clips of x_test have 3 frames, fewer than --frames 4" in refused(path, frames=4)
    assert load_clips(str(path), frames=3).frames == 3
    np.savez(path, x_train=x, y_train=y[:-1])
    assert "12 clips in x_train, but 11 labels in y_train" in refused(path)


def test_the_folder_of_the_page_can_be_made_in_a_new_place(tmp_path):
    page = Path(__file__).resolve().parents[3] / "docs" / "video.md"
    (command,) = (line for line in page.read_text().splitlines() if line.startswith("mkdir"))
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True)
    assert (tmp_path / "clips" / "train" / "left" / "a").is_dir()

"""Folders that a command fills whole or not at all."""

import json

import pytest

import hwnas
from hwnas import HwnasError
from hwnas._tables._new_folder import new_folder


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, HwnasError, MemoryError])
def test_what_was_begun_is_removed(tmp_path, there, error):
    folder = tmp_path / "new"

    def fill():
        with new_folder(folder):
            (folder / "inner").mkdir(parents=True)
            (folder / "inner" / "x").write_text("x")
            (folder / "y").write_text("y")
            raise error

    if there:
        folder.mkdir()
    with pytest.raises(error):
        fill()
    assert folder.exists() == there
    with new_folder(folder):  # the same command again
        (folder / "inner").mkdir(parents=True)
    assert (folder / "inner").is_dir()


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(HwnasError, match="is not an empty folder; choose another -o"), new_folder(tmp_path):
        pass
    assert (tmp_path / "mine").read_text() == "mine"
    with pytest.raises(HwnasError, match=r"cannot write into .*: Not a directory"), new_folder(tmp_path / "mine" / "x"):
        (tmp_path / "mine" / "x").mkdir()


def test_a_space_that_is_too_small_for_a_fit_is_refused_at_once(tmp_path):
    declaration = {
        "format": "hwnas-space",
        "version": 1,
        "name": "plain",
        "settings": {"classes": 10, "image_channels": 3, "image_size": 8},
        "input": [{"setting": "image_channels"}, {"setting": "image_size"}, {"setting": "image_size"}],
        "choices": [{"name": "channels", "values": list(range(8, 17))}],
        "nodes": [
            {"name": "conv", "op": "conv", "inputs": ["input"], "attributes": {"channels": {"choice": "channels"}}},
            {"name": "pooled", "op": "global_pool", "inputs": ["conv"]},
            {"name": "y", "op": "linear", "inputs": ["pooled"], "attributes": {"features": {"setting": "classes"}}},
        ],
        "output": "y",
    }
    (tmp_path / "plain.json").write_text(json.dumps(declaration))
    with pytest.raises(HwnasError, match=r"has 9 networks, and `hwnas fit` needs 10 or more"):
        hwnas.draw(str(tmp_path / "plain.json"), out=tmp_path / "out", networks=10)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_draw_can_be_run_again(tmp_path):
    def stop(text):
        raise KeyboardInterrupt

    given = {"out": tmp_path / "drawn", "preset": "tiny", "resolution": [8], "width": [0.25]}
    with pytest.raises(KeyboardInterrupt):
        hwnas.draw("mobilenetv3", progress=stop, **given)
    assert hwnas.draw("mobilenetv3", **given)
    assert "--space mobilenetv3" in (tmp_path / "drawn" / "README.txt").read_text()

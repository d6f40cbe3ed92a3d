"""Data in a search: known by their content, told in full, refused before work where nothing would fit them."""

import json
import re

import numpy as np
import pytest
from made_tables import made_table
from PIL import Image
from run_toys import create_run
from simulated_device import AdditiveBackend
from test_hwnas_api import Score, Toy

import hwnas
from hwnas import SearchSettings
from hwnas._cli import main
from hwnas._errors import DataError, SpaceError
from hwnas.evaluators import make_evaluator
from hwnas.spaces import make_space
from latency_tables import save_table


class Two(Toy):
    """Networks of two classes; few, so that they are quickly priced."""

    pixels = (8, 8)

    @property
    def choices(self):
        return (hwnas.Choice("width", (2, 4)), hwnas.Choice("kernel", (1, 3)))

    def graph(self, arch):
        builder, x = hwnas.GraphBuilder((3, *self.pixels)), hwnas.INPUT
        x = builder.add("conv", hwnas.ops.conv((3, *self.pixels), *arch.values, act="relu"), x)
        x = builder.add("classes", hwnas.ops.linear(builder.shape(x), 2), x)
        return builder.build(x)


def pictures(root, size=(8, 8), count=6):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Searches with the data of a folder; what they tell is collected."""
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})
    monkeypatch.chdir(tmp_path)
    told = []

    def run(data, space=None, out="run"):
        space = space or Two()
        prices = tmp_path / "prices.json"
        table = hwnas.profile(space, AdditiveBackend(), out=prices, networks=2)
        settings = {"evaluator": Score(), "table": table, "device": AdditiveBackend(), "samples": 3, "offline": True}
        settings |= {"finalize": "train", "final_recipe": {"epochs": 1}, "progress": told.append}
        return hwnas.search(space, data=data, out=tmp_path / out, **settings)

    run.told = told
    return run


def test_the_same_folder_is_the_same_search_however_it_is_written(search, tmp_path):
    pictures(tmp_path / "photos")
    first = search("photos")
    (tmp_path / "link").symlink_to("photos")
    for spelled in ("photos/", "./photos", str(tmp_path / "photos"), "link"):
        assert search(spelled).trials == first.trials
        assert json.loads((tmp_path / "run" / "settings.json").read_text())["settings"]["data"] == spelled
    (tmp_path / "photos").rename(tmp_path / "moved")
    assert search("moved").trials == first.trials


def test_other_images_are_another_search(search, tmp_path):
    pictures(tmp_path / "photos")
    pictures(tmp_path / "others", count=7)
    search("photos")
    with pytest.raises(hwnas.HwnasError) as caught:
        search("others")
    assert str(caught.value) == (
        f'{tmp_path / "run"} contains a search with data "photos", this one has "others"; choose another --out'
    )
    (tmp_path / "photos" / "cat" / "0.png").unlink()
    with pytest.raises(hwnas.HwnasError, match="the data or the defaults have changed, choose another --out"):
        search("photos")


def test_a_place_counts_where_no_content_is_known(tmp_path):
    for identity in ({"evaluator": {}}, {"evaluator": {"data": "abc"}}):
        path = tmp_path / str(len(identity["evaluator"]))
        create_run(path, SearchSettings(data="a"), identity)
        (path / "trials.jsonl").write_text('{"number": 0}\n')
        with pytest.raises(hwnas.HwnasError, match='contains a search with data "a", this one has "a/"'):
            create_run(path, SearchSettings(data="a/"), identity)


def test_what_is_left_out_is_told(search, tmp_path):
    pictures(tmp_path / "photos")
    (tmp_path / "photos" / "cat" / "x.avif").write_bytes(b"x")
    search("photos")
    assert "data: left out 1 file that is not read as an image: 1 .avif; convert images to PNG or JPEG" in search.told


def test_images_that_are_no_squares_are_refused_before_anything_is_made(search, tmp_path):
    pictures(tmp_path / "photos", size=(8, 12))
    wanted = (
        "data photos: images are 12x8 pixels (width x height), but networks read squares; give --image-size 8 to scale "
        "the shorter side and cut out the centre"
    )
    with pytest.raises(DataError, match=re.escape(wanted)):
        search("photos")
    data = hwnas.load_data("photos")
    for name in ("supernet", "train", "naswot"):
        with pytest.raises(DataError, match="networks read squares"):
            make_evaluator(name, Two(), data)
    assert not (tmp_path / "run").exists()


def test_networks_that_read_no_squares_are_refused_before_anything_is_made(search, tmp_path):
    pictures(tmp_path / "photos")

    class Wide(Two):
        pixels = (8, 12)

    with pytest.raises(SpaceError) as caught:
        search("photos", Wide())
    assert str(caught.value) == (
        "space toy: a network reads images of 12x8 pixels (width x height), but images must be square; "
        "make height and width equal"
    )
    assert not (tmp_path / "run").exists()


def test_the_command_refuses_and_tells_alike(tmp_path, capsys):
    space = make_space("mobilenetv3", resolution=[8], width=[0.5], image_channels=1)
    save_table(made_table(space, None), tmp_path / "table.json")
    pictures(tmp_path / "wide", size=(8, 12))
    out = ["--out", str(tmp_path / "run"), "--table", str(tmp_path / "table.json"), "--offline"]
    out += ["--resolution", "8", "--width", "0.5"]
    assert main(["search", "--data", str(tmp_path / "wide"), *out]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith("give --image-size 8 to scale the shorter side and cut out the centre")
    latin = tmp_path / "latin"
    pictures(latin)
    (latin / "dog").rename(latin / "d\udcffg")
    assert main(["search", "--data", str(latin), *out]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == f"hwnas: error: data {tmp_path}/latin: the class name 'd\\xffg' is not UTF-8; rename it"
    assert not (tmp_path / "run").exists()

"""The comparison of an int8 search with quantising at the end: its fronts, and results of other settings."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import bench_int8

    return bench_int8


def test_fronts_share_one_scale(script):
    whole = [(0.5, 1.0), (0.7, np.e), (0.9, np.e**2)]  # test accuracy, milliseconds
    volumes = script.hypervolumes({"whole": whole, "ends": [whole[0], whole[2]], "middle": [whole[1]]})
    assert volumes["whole"] > volumes["ends"] > 0
    assert volumes["middle"] == pytest.approx(0.6 * 0.6)  # the middle of both ranges, from a reference at -0.1
    better = script.hypervolumes({"whole": whole, "faster": [(0.5, 0.5), (0.9, np.e)]})
    assert better["faster"] > better["whole"]


def test_a_result_of_other_settings_is_not_continued(script, tmp_path, monkeypatch):
    file = tmp_path / "out.json"
    file.write_text(json.dumps({"settings": {"data": "other"}, "seeds": {}}))
    monkeypatch.setattr(sys, "argv", ["bench_int8", "--runs", str(tmp_path), "-o", str(file)])
    with pytest.raises(SystemExit, match=r"has the settings .* choose another -o"):
        script.main()


def test_options_of_a_supernet_are_refused_where_none_is_trained(script, tmp_path, monkeypatch):
    given = ["--elastic", str(tmp_path), "--epochs", "2"]
    monkeypatch.setattr(sys, "argv", ["bench_int8", "--runs", str(tmp_path), "-o", str(tmp_path / "out.json"), *given])
    with pytest.raises(SystemExit, match="--epochs belongs to a supernet that is trained here"):
        script.main()

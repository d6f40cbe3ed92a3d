"""Pictures are drawn whatever the user's matplotlib is set to, and a finished search is not lost where it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cells import arguments, search
from run_toys import create_run

from hwnas import HwnasError, SearchSettings
from hwnas._cli import main
from hwnas._common._canvas import NoPictureError, add_legend, make_figure, pictures_of, png
from hwnas._report import write_comparison
from hwnas._report._compare import comparison_plot
from hwnas._report._networks import networks_section
from hwnas._report._time import Spent, time_plot
from hwnas._runs._compare import compare_runs
from hwnas._runs._run import Run
from hwnas.tasks import Metric

ROOT = Path(__file__).resolve().parents[3]
PNG = b"\x89PNG"


def texts(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense", "TkAgg", ""])
def test_a_notebooks_environment_does_not_matter(csv, tmp_path, backend):
    """A search of its own, in a process that inherits the setting."""
    environment = {**os.environ, "MPLBACKEND": backend, "PYTHONPATH": str(ROOT)}
    environment.pop("DISPLAY", None)
    command = [sys.executable, "-m", "hwnas", *arguments(csv, tmp_path / "run", samples=12)]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    assert (tmp_path / "run" / "front.png").read_bytes().startswith(PNG)
    assert "data:image/png" in (tmp_path / "run" / "report.html").read_text()


def test_the_setting_is_still_there_afterwards_and_nobodys_figures_are_touched():
    code = (
        "import os, sys\n"
        "from hwnas._common._canvas import make_figure, pictures_of, png\n"
        "assert pictures_of(lambda: {'a': png(make_figure()[0])})['a'].startswith(b'\\x89PNG')\n"
        "assert os.environ['MPLBACKEND'] == 'nonsense'\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "MPLBACKEND": "nonsense"}, cwd=ROOT)


@pytest.mark.parametrize("how", ["raises", "absent"])
def test_a_search_ends_well_without_pictures(csv, tmp_path, monkeypatch, capsys, how):
    def broken():
        raise ImportError("libpng is\nnot here")

    if how == "raises":
        monkeypatch.setattr("hwnas._common._canvas._matplotlib", broken)
    else:
        monkeypatch.setattr("hwnas._common._canvas.find_spec", lambda name: None)
    run = search(csv, tmp_path / "run", samples=12, report=True)
    why = "cannot draw here (ImportError: libpng is not here)" if how == "raises" else "is not installed"
    line = f"no pictures in the report: matplotlib {why}; install hwnas[report] for pictures"
    assert capsys.readouterr().err.count(line) == 1
    page = (run / "report.html").read_text()
    assert line in page
    assert "<h2>Networks</h2>" in page
    assert Run.open(run).finished == 12
    with pytest.raises(HwnasError, match="matplotlib") as caught:
        write_comparison(compare_runs([run, run]), tmp_path / "c.png")
    assert "\n" not in str(caught.value)


def test_names_are_drawn_as_they_are(csv, tmp_path):
    names = ["cost$5^$", "_two", r"$\undefined{", "a\x1b[0mb"]
    search(csv, tmp_path / names[0], samples=12)
    for name in names[1:]:
        (tmp_path / name).symlink_to(tmp_path / names[0])
    compared = compare_runs([tmp_path / names[0], tmp_path / "_two"])
    assert main(["compare", str(tmp_path / names[0]), str(tmp_path / "_two"), "-o", str(tmp_path / "c.png")]) == 0
    assert pictures_of(lambda: {"a": comparison_plot(compared)})["a"].startswith(PNG)

    def draw():
        figure, axes = make_figure()
        for home in (axes, figure):
            add_legend(home, [(axes.plot([1, 2])[0], name) for name in names])
            shown = [text.get_text() for text in home.findobj() if hasattr(text, "get_text")]
            assert [name for name in [*names[:3], r"a\x1b[0mb"] if name not in shown] == []
        axes.set_title(names[2])
        axes.set_xlabel(Metric.of_score("$^$").label)
        assert "$^$ (a score)" in texts(figure)
        return {"a": png(figure)}

    assert pictures_of(draw)["a"].startswith(PNG)
    spent = [Spent(name, {f"_{name}": 1.0, "other": 2.0}, ()) for name in names]
    assert pictures_of(lambda: {"a": time_plot(spent)})["a"].startswith(PNG)


def test_an_underscore_changes_the_picture():
    """The entry is drawn: a legend with it is wider than one without."""

    def width(names):
        figure, axes = make_figure()
        add_legend(axes, [(axes.plot([1, 2])[0], name) for name in names])
        png(figure)
        (legend,) = [one for one in axes.get_children() if type(one).__name__ == "Legend"]
        return legend.get_window_extent().height

    def draw():
        assert width(["_one", "_two"]) > 1.3 * width(["_one"])
        return {}

    pictures_of(draw)


def test_settings_of_the_users_matplotlib_do_not_matter():
    import matplotlib

    def draw():
        return {"a": png(make_figure()[0])}

    plain = pictures_of(draw)
    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "red", "savefig.format": "svg"}):
        assert pictures_of(draw) == plain
        assert matplotlib.rcParams["text.usetex"]


def test_whatever_goes_wrong_in_drawing_is_one_line():
    with pytest.raises(NoPictureError, match=r"matplotlib cannot draw here \(ZeroDivisionError: .*by zero\)"):
        pictures_of(lambda: {"a": b"" * (1 // 0)})
    with pytest.raises(KeyboardInterrupt):
        pictures_of(lambda: (_ for _ in ()).throw(KeyboardInterrupt))


def test_everything_of_a_network_is_escaped_in_the_report(tmp_path):
    evil = "<script>alert(1)</script>\u202e"
    latency = {"predicted": 1.0, "low": None, "high": None, "measured": 1.5, "measured_half_width": 0.01}
    entry = {"id": evil, "arch": evil, "onnx": f"models/{evil}", "score": {evil: 1.0}, "latency_ms": latency}
    entry |= {"accuracy": 0.5, "validation_accuracy": None, "macs": 1, "params": 1, "peak_memory_bytes": 1}
    run = create_run(tmp_path / "run", SearchSettings(budgets={"latency_ms": 1.2}), {})
    page = networks_section(run, [entry, entry | {"dominated_by": evil}])
    assert "<script" not in page
    assert "\u202e" not in page
    assert page.count("<th>&lt;script&gt;alert(1)&lt;/script&gt;\\u202e</th>") == 2
    assert "Dominated once measured" in page
    assert "<td><b>25 % over</b></td>" in page

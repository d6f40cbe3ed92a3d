"""Plug-ins of a real distribution on a temporary path: a folder of metadata with entry points, and a module."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hwnas._common._about import SPACES, STRATEGIES

ROOT = Path(__file__).resolve().parents[3]
MODULE = """
import hwnas
from hwnas.spaces import Choice, Space


class Toy(Space):
    name = "toy"

    def __init__(self, classes=10):
        self.classes = classes

    @property
    def settings(self):
        return {"classes": self.classes}

    choices = (Choice("width", (4, 8)), Choice("kernel", (1, 3, 5)))

    def graph(self, arch):
        builder, x = hwnas.GraphBuilder((3, 8, 8)), hwnas.INPUT
        x = builder.add("conv", hwnas.ops.conv((3, 8, 8), arch.values[0], arch.values[1], act="relu"), x)
        x = builder.add("classes", hwnas.ops.linear(builder.shape(x), self.classes), x)
        return builder.build(x)


class Wide(hwnas.Evaluator):
    name, measure = "wide", "width"

    def __init__(self, space, data, *, seed, factor=1):
        self.seed, self.factor = seed, factor

    settings = property(lambda self: {"seed": self.seed, "factor": self.factor})

    def evaluate(self, arch):
        return hwnas.Evaluation(float(self.factor * sum(arch.values)))


class Last:
    name = "last"

    def __init__(self, first=False):
        self.first = first

    def propose(self, context, n, rng):
        return hwnas.Suggestion(context.candidates.codes[:: 1 if self.first else -1])


class Skipping:
    name, options = "skipping", (hwnas.StrategyOption("step", 1, "distance of proposals", minimum=1),)

    def __init__(self, step):
        self.step = step

    def propose(self, context, n, rng):
        return hwnas.Suggestion(context.candidates.codes[:: self.step])


def stopwatch(*, batch, image_channels):
    from simulated_device import AdditiveBackend

    backend = AdditiveBackend(image_channels=image_channels)
    backend.batch = batch
    backend.identity = lambda: {"device": "stopwatch", "batch": batch}
    return backend


def failing():
    raise ZeroDivisionError("by\\nzero")


def nothing():
    return None


NUMBER = 3
"""
POINTS = """[hwnas.spaces]
toy = toys:Toy
renamed = toys:Toy
nasbench201 = toys:Toy
broken = toys:Absent
[hwnas.evaluators]
wide = toys:Wide
[hwnas.strategies]
last = toys:Last
skipping = toys:Skipping
failing = toys:failing
nothing = toys:nothing
number = toys:NUMBER
gone = no_such_module:Thing
[hwnas.profilers]
stopwatch = toys:stopwatch
cuda = toys:stopwatch
"""


def install(folder, name, version, points, module=""):
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(points)
    if module:
        (folder / "toys.py").write_text(module)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    install(folder, "hwnas-toys", "1.2", POINTS, MODULE)
    install(folder, "other-toys", "0.1", "[hwnas.strategies]\ntwice = toys:Last\n")
    install(folder, "more-toys", "0.2", "[hwnas.strategies]\ntwice = toys:Last\n")
    return folder


@pytest.fixture
def hwnas(site, tmp_path, monkeypatch):
    """Runs the command line, in another process with the distributions on its path."""
    places = [ROOT, ROOT / "tests", site, os.environ["PYTHONPATH"]]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, places)))

    def run(*arguments, before="", code=0):
        script = f"{before}\nfrom hwnas._cli import main\nimport sys\nsys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", script, *map(str, arguments)]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == code, result.stderr
        return result.stdout if code == 0 else result.stderr

    return run


def test_a_strategy_declares_its_options(site, monkeypatch):
    from hwnas._pipeline._strategies import make_strategy, parse_strategy_options, strategy_options
    from search import SearchError

    monkeypatch.syspath_prepend(str(site))
    assert [option.name for option in strategy_options("skipping")] == ["step"]
    assert strategy_options("last") == ()
    assert make_strategy("skipping", **parse_strategy_options("skipping", ["step=3"])).step == 3
    assert make_strategy("lamoo", **parse_strategy_options("lamoo", ["sampler=random"])).name == "lamoo-random"
    with pytest.raises(SearchError, match="strategy last has no option 'step'; it has no options"):
        parse_strategy_options("last", ["step=3"])
    with pytest.raises(SearchError, match="option step must be an integer of 1 or more, got 0"):
        make_strategy("skipping", step=0)


NO_PICTURES = "import hwnas._report._write as write\nwrite._pictures = lambda shown: {}"


def test_all_four_kinds_work_by_name(hwnas, tmp_path):
    profile = [
        "profile",
        "--space",
        "toy",
        "--space-option",
        "classes=7",
        "--device",
        "stopwatch",
        "--networks",
        "2",
        "-o",
        "toy.json",
    ]
    hwnas(*profile)
    arch = "width=8,kernel=3"
    assert "latency " in hwnas("predict", "toy.json", arch)
    parts = ["--space", "toy", "--device", "stopwatch", "--evaluator", "wide", "--strategy", "last", "--data", "none"]
    options = ["--space-option", "classes=7", "--evaluator-option", "factor=2", "--strategy-option", "first=true"]
    search = ["search", *parts, *options, "--table", "toy.json", "--samples", "6", "--out", "run", "--quiet"]
    hwnas(*search, before=NO_PICTURES)
    lines = (tmp_path / "run" / "trials.jsonl").read_text()
    assert lines.count("\n") == 6
    assert all(trial["values"]["width"] % 2 == 0 for trial in map(json.loads, lines.splitlines()))
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())["settings"]
    assert (settings["space_settings"], settings["evaluator_options"]) == ({"classes": 7}, {"factor": 2})
    assert settings["strategy_options"] == {"first": True}
    hwnas(*search, before=NO_PICTURES)
    assert (tmp_path / "run" / "trials.jsonl").read_text() == lines
    assert "toy" in hwnas("runs", ".")
    told = hwnas("search", *parts, *options, "--table", "toy.json", "--out", "run", "--seed", "1", code=2)
    assert told == "hwnas: error: run contains a search with seed 0, this one has 1; choose another --out\n"


def test_they_are_listed_with_ours_and_none_is_loaded(hwnas):
    loaded = "import atexit, sys\natexit.register(lambda: print('toys' in sys.modules))"
    lines = hwnas("plugins", before=loaded).splitlines()
    assert lines[-1] == "False"
    words = [line.split(maxsplit=2) for line in lines[:-1]]
    assert ["space", "mobilenetv3", f"hwnas: {SPACES['mobilenetv3']}"] in words
    assert ["space", "toy", "hwnas-toys 1.2"] in words
    assert ["space", "nasbench201", "hwnas-toys 1.2 (not usable: hwnas has this name itself)"] in words
    assert ["strategy", "lamoo", f"hwnas: {STRATEGIES['lamoo']}"] in words
    assert ["strategy", "twice", "more-toys 0.2, other-toys 0.1"] in words
    assert ["evaluator", "wide", "hwnas-toys 1.2"] in words
    assert ["device", "stopwatch", "hwnas-toys 1.2"] in words
    text = hwnas("search", "--help", before=loaded)
    assert "--evaluator of plug-ins: wide\n" in text
    assert text.splitlines()[-1] == "False"
    assert "stopwatch plug-in of hwnas-toys 1.2\n" in hwnas("devices")


FOUND = "hwnas-toys 1.2"
ERRORS = [
    (
        "search --space nasbench201",
        f"{FOUND} provides a space 'nasbench201', but hwnas has one of this name itself; uninstall it",
    ),
    ("search --device cuda", f"{FOUND} provides a device 'cuda', but hwnas has one of this name itself; uninstall it"),
    (
        "search --space broken",
        f"space 'broken' of {FOUND} cannot be loaded: AttributeError: module 'toys' has no attribute 'Absent'",
    ),
    (
        "search --space renamed",
        f"space 'renamed' of {FOUND} has the attribute name = 'toy'; both names must be the same",
    ),
    (
        "search --space none",
        "unknown space 'none'; known spaces: convnet1d, dash1d, dash2d, dscnn, "
        "fpn, mobilenetv3, nasbench201, resnet, unet, video, broken, "
        "renamed, toy, or FILE.json",
    ),
    (
        "search --strategy gone",
        f"strategy 'gone' of {FOUND} cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'",
    ),
    ("search --strategy failing", f"strategy 'failing' of {FOUND} failed: ZeroDivisionError: by zero"),
    (
        "search --strategy nothing",
        f"strategy 'nothing' of {FOUND} is not a valid strategy: what it returns has no name",
    ),
    ("search --strategy number", f"strategy 'number' of {FOUND} cannot be loaded: toys:NUMBER is not callable"),
    (
        "search --strategy twice",
        "strategy 'twice' is provided by more-toys 0.2, other-toys 0.1; uninstall all but one",
    ),
    (
        "search --device tpu",
        "unknown device 'tpu'; known devices: cpu, cuda, cuda:N (see `hwnas devices`), ssh://[user@]host[:port], "
        "stopwatch",
    ),
    ("search --device stopwatch --threads 2", "--threads is not an option of device stopwatch; leave it out"),
    (
        "search --space toy --evaluator wide --data none --epochs 3",
        "evaluator wide has no option 'epochs'; known options: seed, factor",
    ),
    (
        "search --space toy --evaluator none --data none",
        "unknown evaluator 'none'; known: gradnorm, naswot, parameters, supernet, synflow, table:FILE, train, wide",
    ),
    ("search --strategy last --strategy-option depth=1", "strategy last has no option 'depth'; known options: first"),
    ("search --space toy --space-option depth=1", "space toy has no setting 'depth'; known settings: classes"),
    (
        "profile --space toy --image-channels 1",
        "--image-channels is not an option of space toy; known options: classes",
    ),
]


@pytest.mark.parametrize(("command", "message"), ERRORS)
def test_what_is_wrong_with_a_plug_in_is_one_line(hwnas, command, message):
    assert hwnas(*command.split(), code=2) == f"hwnas: error: {message}\n"

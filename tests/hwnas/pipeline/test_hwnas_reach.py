"""How far a search reaches below its model: as far as its budgets need."""

import pytest
from derived_models import Net, resnet
from simulated_device import AdditiveBackend, AdditiveRunnable

import hwnas
from hwnas._errors import HwnasError
from hwnas._pipeline._overrides import Overrides
from hwnas._pipeline._reach import reaching, with_reach
from hwnas._runs._settings import SearchSettings
from hwnas.spaces import Architecture, reaches
from hwnas.testing._operators import varied_weights
from latency_tables import INPUT
from profilers import build_onnx, graph_macs

SEVERAL = {"table": "a.json", "minimize": ("latency",)}
SEVERAL |= {"devices": {"a": {"table": "a.json"}, "b": {"table": "b.json"}}}
HALF, ALL = [0.5, 0.75, 1.0], [0.25, 0.375, 0.5, 0.75, 1.0]


@pytest.fixture(scope="module")
def graph():
    return resnet(blocks=2, widths=(32, 64), size=16)


@pytest.fixture(scope="module")
def model(graph, tmp_path_factory):
    """The file of a residual network with random weights."""
    path = tmp_path_factory.mktemp("reach") / "net.onnx"
    path.write_bytes(build_onnx(graph, varied_weights(graph)).SerializeToString())
    return path


@pytest.fixture(scope="module")
def spaces(graph):
    return reaches(graph, {})


def smallest(space):
    """Return the network with the smallest value of every choice."""
    return space.graph(Architecture(tuple(choice.values[0] for choice in space.choices)))


class SteadyDevice(AdditiveBackend):
    """A device that computes a million MACs in a millisecond."""

    def load(self, graph, *, seed=0, tied=(), cold=False):
        return AdditiveRunnable(self, 1e-9 * graph_macs(graph))


def latency_ms(graph):
    """Return what the device takes for a network."""
    return 1e-6 * graph_macs(graph)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(("key", "cost"), [("macs", graph_macs), ("latency_ms", latency_ms)])
def test_the_first_space_that_reaches_below_half_of_the_budget_is_searched(spaces, key, cost, number):
    told = []
    enough = {key: 2.02 * cost(smallest(spaces[number]))}
    assert reaching(spaces, enough, SteadyDevice(), progress=told.append) is spaces[number]
    assert told[-1].startswith(f"searched, as the budgets need: widths from {50 if number == 0 else 25} % on, ")
    assert ("resolution 12, 16" in told[-1]) == (number == 2)
    too_little = {key: 1.98 * cost(smallest(spaces[number]))}
    assert reaching(spaces, too_little, SteadyDevice()) is spaces[min(number + 1, 2)]


def test_the_tightest_budget_decides(spaces):
    budgets = {"macs": 2.1 * graph_macs(smallest(spaces[1])), "params": 1e9, "latency_ms": 1e3}
    assert reaching(spaces, budgets, AdditiveBackend()) is spaces[1]


def test_costs_that_nothing_is_known_of_leave_the_whole_space(spaces):
    assert reaching(spaces, {"energy_mj": 1.0}, AdditiveBackend()) is spaces[-1]


def settings_of(model, **more):
    """Return settings of a search as they leave the reading of options."""
    return SearchSettings(model=str(model), space="derived", **more)


@pytest.mark.parametrize(
    ("more", "widths", "heights"),
    [
        ({}, ALL, (12, 16)),
        ({"budgets": {"macs": 1e12}}, HALF, (16,)),
        ({"budgets": {"macs": 1.0}}, ALL, (12, 16)),
        ({"budgets": {"macs": 1e12}, "offline": True, "table": "phone.json"}, ALL, (12, 16)),
        ({"budgets": {"macs": 1e12}, **SEVERAL}, ALL, (12, 16)),
        ({"budgets": {"macs": 1e12}, "space_settings": {"widths": [0.75, 1]}}, [0.75, 1.0], (16,)),
        ({"budgets": {"macs": 1e12}, "space_settings": {"resolutions": [12, 16]}}, HALF, (12, 16)),
    ],
)
def test_settings_that_are_left_open_follow_from_the_budgets(model, tmp_path, more, widths, heights):
    settings = with_reach(settings_of(model, **more), tmp_path / "run", Overrides(backend=AdditiveBackend()), print)
    assert settings.space_settings["widths"] == widths
    assert tuple(settings.space_settings["resolutions"]) in (heights, ())
    assert (settings.space_settings["resolutions"] == []) == (heights == (12, 16) and "space_settings" not in more)
    chosen = {"space_settings": {"widths": [0.5, 1], "resolutions": [16]}}
    closed = settings_of(model, **{**more, **chosen})
    assert with_reach(closed, tmp_path / "run", Overrides(), print) == closed  # no device is asked


def test_a_run_keeps_the_space_that_it_was_begun_with(tmp_path, monkeypatch):
    net = Net((1, 8, 8))
    graph = net.classify(net.conv("b", net.conv("a", INPUT, 32, 3, "relu"), 32, 3, "relu"))
    model = tmp_path / "net.onnx"
    model.write_bytes(build_onnx(graph, varied_weights(graph)).SerializeToString())
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})
    told = []
    given = {"model": model, "data": "digits", "data_limit": 60, "epochs": 1, "measure": "none"}
    given |= {"device": AdditiveBackend(), "out": tmp_path / "run", "evaluator": "train", "progress": told.append}
    first = hwnas.search(samples=2, macs_budget="700k", **given)
    widths = first.settings.space_settings["widths"]
    assert widths == HALF
    assert sum(line.startswith("searched, as the budgets need: ") for line in told) == 1
    told.clear()
    more = hwnas.search(samples=3, macs_budget="200k", **given)
    assert more.settings.space_settings["widths"] == widths
    assert not any(line.startswith("searched, as the budgets need: ") for line in told)
    assert [trial.values for trial in more.trials[:2]] == [trial.values for trial in first.trials]
    again = hwnas.search(samples=2, macs_budget="200k", warm_start=tmp_path / "run", **{**given, "out": tmp_path / "b"})
    assert again.settings.space_settings == first.settings.space_settings
    alone = hwnas.search(samples=2, macs_budget="200k", **{**given, "out": tmp_path / "c"})
    assert alone.settings.space_settings["widths"] == ALL


def test_derive_shows_what_a_search_within_a_budget_would_search(model, graph, spaces):
    told = []
    wide = hwnas.derive(model)
    half = hwnas.derive(model, latency_budget="1s", progress=told.append)
    assert (wide.space.settings["widths"], half.space.settings["widths"]) == (ALL, HALF)
    assert any(line.startswith("searched, as the budgets need: ") for line in told)
    kept = hwnas.derive(model, latency_budget="1s", keep=["stem"]).space.settings
    assert (kept["keep"], kept["widths"]) == (["stem"], HALF)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"device": "cpu"}, "--device needs --latency-budget"),
        ({"threads": 1}, "--threads needs --latency-budget"),
        ({"latency_budget": "fast"}, "fast"),
        ({"latency_budget": "1ms", "threads": 5000}, "--threads must be between 1 and"),
    ],
)
def test_bad_options_of_derive_are_one_line(model, given, message):
    with pytest.raises(HwnasError, match=message) as caught:
        hwnas.derive(model, **given)
    assert "\n" not in str(caught.value)

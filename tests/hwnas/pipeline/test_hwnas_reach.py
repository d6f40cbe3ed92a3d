"""How far a search reaches below its model: as far as its budgets need."""

from dataclasses import replace

import pytest
from derived_models import Net, resnet
from simulated_device import AdditiveBackend, AdditiveRunnable

import hwnas
from hwnas._costs._cost import cost_of_key
from hwnas._errors import HwnasError
from hwnas._pipeline._overrides import Overrides
from hwnas._pipeline._reach import reaching, with_kept_reach, with_reach
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas.spaces import DerivedSpace, reaches
from hwnas.testing._operators import varied_weights
from latency_tables import INPUT
from profilers import build_onnx, graph_macs, ops

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
    return space.graph(space.smallest)


class SteadyDevice(AdditiveBackend):
    """A device that computes a million MACs in a millisecond."""

    def load(self, graph, *, seed=0, tied=(), cold=False):
        return AdditiveRunnable(self, 1e-9 * graph_macs(graph))


def latency_ms(graph):
    """Return what the device takes for a network."""
    return 1e-6 * graph_macs(graph)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(("key", "cost"), [("macs", graph_macs), ("latency_ms", latency_ms)])
def test_the_first_space_that_reaches_below_three_quarters_of_the_budget_is_searched(spaces, key, cost, number):
    told = []
    enough = {key: 1.35 * cost(smallest(spaces[number]))}
    assert reaching(spaces, enough, SteadyDevice(), progress=told.append) is spaces[number]
    shares = "50, 75 and 100" if number == 0 else "25, 37.5, 50, 75 and 100"
    pixels = "12 or 16" if number == 2 else "16"
    assert told[-1].startswith(
        f"the space holds {shares} % of the channels at {pixels} pixels; its smallest network has "
    )
    assert "comes closest" not in told[-1]
    too_little = {key: 1.32 * cost(smallest(spaces[number]))}
    assert reaching(spaces, too_little, SteadyDevice(), progress=told.append) is spaces[min(number + 1, 2)]
    assert told[-1].endswith("no space reaches below three quarters of the budgets, this one comes closest") == (
        number == 2
    )


def test_where_no_space_reaches_the_closest_is_searched(spaces):
    assert reaching(spaces, {"params": 1.0}, SteadyDevice()) is spaces[1]  # a resolution changes no parameters

    class Odd(SteadyDevice):
        """A device that is slow where images are small."""

        def load(self, graph, *, seed=0, tied=(), cold=False):
            return AdditiveRunnable(self, 1.0 if graph.input_shape[1] == 12 else 1e-9 * graph_macs(graph))

    assert reaching(spaces, {"latency_ms": 1e-9}, Odd()) is spaces[1]


def test_each_number_format_and_statistic_is_compared_with_its_own_budget(spaces):
    class Bytes(SteadyDevice):
        """A device whose time is that of the bytes of the weights: int8 nodes are four times as fast."""

        def load(self, graph, *, seed=0, tied=(), cold=False):
            self.loaded.append(any(node.op.dtype == "int8" for node in graph.nodes))
            return super().load(graph, seed=seed)

    device = Bytes()
    device.loaded = []
    reaching(spaces, {"latency_ms": 1.0}, device, "mixed")
    assert device.loaded[:4] == [True, True, True, False]
    device.loaded = []
    reaching(spaces, {"latency_ms": 1.0}, device, "int8")  # the device makes these int8 itself
    assert not any(device.loaded)
    rom = cost_of_key("rom_bytes")
    small = rom.value(smallest(spaces[0]), 1, "int8")
    assert small < 0.5 * rom.value(smallest(spaces[0]), 1, "fp32")
    for precision in ("int8", "mixed"):
        assert reaching(spaces, {"rom_bytes": 2.02 * small}, None, precision) is spaces[0]
    assert reaching(spaces, {"rom_bytes": 2.02 * small}, None, "fp32") is not spaces[0]


def test_the_statistic_that_is_bound_is_compared(spaces):
    class Uneven(SteadyDevice):
        """A device on which every third run takes ten times as long."""

        runs = 0

        def load(self, graph, *, seed=0, tied=(), cold=False):
            device, seconds = self, 1e-9 * graph_macs(graph)

            class Once:
                def run(self, inner):
                    device.runs += 1
                    return seconds * inner * (10 if device.runs % 3 == 0 else 1)

            return Once()

    budget = {"latency_ms": 2.5 * latency_ms(smallest(spaces[0]))}
    assert reaching(spaces, budget, Uneven(), statistic="q10") is spaces[0]
    assert reaching(spaces, budget, Uneven(), statistic="p99") is not spaces[0]


def test_the_tightest_budget_decides(spaces):
    budgets = {"macs": 2.1 * graph_macs(smallest(spaces[1])), "params": 1e9, "latency_ms": 1e3}
    assert reaching(spaces, budgets, AdditiveBackend()) is spaces[1]


@pytest.mark.parametrize("budgets", [{"energy_mj": 1.0}, {"energy_mj": 1.0, "macs": 1e12}])
def test_costs_that_nothing_is_known_of_leave_the_whole_space(spaces, budgets):
    assert reaching(spaces, budgets, AdditiveBackend()) is spaces[-1]
    assert reaching(spaces, {"latency_ms": 1e3, "macs": 1e12}, None) is spaces[-1]


def settings_of(model, **more):
    """Return settings of a search as they leave the reading of options."""
    return SearchSettings(model=str(model), space="derived", **more)


@pytest.mark.parametrize(
    ("more", "widths", "heights"),
    [
        ({}, ALL, (12, 16)),
        ({"budgets": {"macs": 1e12}}, HALF, (16,)),
        ({"budgets": {"macs": 1.0}}, ALL, (12, 16)),
        ({"budgets": {"latency_ms": 1e6}}, HALF, (16,)),
        ({"budgets": {"latency_ms": 1e6}, "measure": "none"}, ALL, (12, 16)),
        ({"budgets": {"macs": 1e12}, "measure": "none"}, HALF, (16,)),
        ({"budgets": {"macs": 1e12}, "space_settings": {"widths": [0.75, 1]}}, [0.75, 1.0], (16,)),
        ({"budgets": {"macs": 1e12}, "space_settings": {"resolutions": [12, 16]}}, HALF, (12, 16)),
        ({"budgets": {"macs": 1e12}, "begin_with": ("r12_d0.1_w32.32.32.64.64.64",)}, ALL, (12, 16)),
    ],
)
def test_settings_that_are_left_open_follow_from_the_budgets(model, tmp_path, more, widths, heights):
    device = SteadyDevice()
    settings = with_reach(settings_of(model, **more), tmp_path / "run", Overrides(), device, print)
    space = DerivedSpace(**settings.space_settings)
    assert (space.settings["widths"], space.plan.resolutions) == (widths, heights)
    chosen = {"space_settings": {"widths": [0.5, 1], "resolutions": [16]}}
    closed = settings_of(model, **{**more, **chosen})
    assert with_reach(closed, tmp_path / "run", Overrides(), None, print) == closed  # no device is asked


@pytest.fixture(scope="module")
def table(model, tmp_path_factory):
    """A latency table of the space that reaches the least."""
    prices = tmp_path_factory.mktemp("t") / "prices.json"
    space = hwnas.derive(model, widths=HALF, resolutions=[16]).space
    hwnas.profile(space, AdditiveBackend(), out=prices, networks=2)
    return prices


@pytest.mark.parametrize(
    "more",
    [
        {"offline": True},
        {"budgets": {"macs": 1.0}},
        {"devices": True, "minimize": ("latency",), "budgets": {"macs": 1.0}},
    ],
)
def test_a_table_that_is_given_prices_the_space(model, table, tmp_path, more):
    more = {**more, "table": str(table)}
    if "devices" in more:
        more["devices"] = {name: {"table": str(table)} for name in ("a", "b")}
    settings = with_reach(settings_of(model, **more), tmp_path / "run", Overrides(), SteadyDevice(), print)
    assert settings.space_settings["widths"] == HALF
    assert list(settings.space_settings["resolutions"]) == [16]


def test_a_table_of_other_widths_of_the_model_names_the_space(model, tmp_path):
    own = hwnas.derive(model, widths=[0.6, 1]).space
    hwnas.profile(own, AdditiveBackend(), out=tmp_path / "own.json", networks=2)
    more = {"table": str(tmp_path / "own.json"), "budgets": {"macs": 1e12}}
    settings = with_reach(settings_of(model, **more), tmp_path / "run", Overrides(), SteadyDevice(), print)
    assert settings.space_settings == own.settings


def test_nothing_is_measured_for_a_search_that_is_refused(tmp_path, model):
    device = AdditiveBackend(refuses=lambda op: pytest.fail("measured"))
    common = {"model": model, "device": device, "latency_budget": "1ms", "out": tmp_path / "run"}
    for more in ({"data": tmp_path / "missing"}, {"data": "digits", "weights": model}):
        with pytest.raises(HwnasError):
            hwnas.search(**common, **more)


def test_models_that_read_one_size_have_a_space_within_a_budget():
    net = Net((3, 16, 16))
    x = net.conv("a", INPUT, 32, 3, "relu")
    x = net.add("turned", ops.transpose(net.shape(x), (0, 2, 1)), x)
    graph = net.classify(net.conv("c", net.conv("b", x, 64, 3, "relu"), 64, 3, "relu"))
    spaces = reaches(graph, {})
    assert [space.settings["widths"] for space in spaces] == [HALF, ALL]


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
    assert sum(line.startswith("the space holds ") for line in told) == 1
    told.clear()
    more = hwnas.search(samples=3, macs_budget="200k", **given)
    assert more.settings.space_settings["widths"] == widths
    assert not any(line.startswith("the space holds ") for line in told)
    assert sum(line.startswith("the space stays as it was begun for other budgets (widths 50, ") for line in told) == 1
    assert [trial.values for trial in more.trials[:2]] == [trial.values for trial in first.trials]
    again = hwnas.search(samples=2, macs_budget="200k", warm_start=tmp_path / "run", **{**given, "out": tmp_path / "b"})
    assert again.settings.space_settings == first.settings.space_settings
    alone = hwnas.search(samples=2, macs_budget="200k", **{**given, "out": tmp_path / "c"})
    assert alone.settings.space_settings["widths"] == ALL


def test_a_run_without_trials_keeps_its_space_only_with_the_same_budgets_and_model(model, tmp_path):
    def settings_for(**more):
        held = {**dict(hwnas.derive(model).space.settings), **more.pop("space_settings", {})}
        return settings_of(model, space_settings=held, **more)

    reach = {"widths": [0.6, 1.0], "resolutions": [16]}
    (tmp_path / "run").mkdir()
    begun = Run(tmp_path / "run", settings_for(budgets={"macs": 1e6}, space_settings=reach), {})
    begun.continue_from(0)
    for changes, kept in [({}, True), ({"budgets": {"macs": 2e6}}, False), ({"sha256": "0"}, False)]:
        settings = settings_for(budgets=changes.get("budgets", {"macs": 1e6}))
        left = {name: value for name, value in settings.space_settings.items() if name not in reach}
        settings = replace(settings, space_settings={**left, **{k: v for k, v in changes.items() if k == "sha256"}})
        found = with_kept_reach(settings, tmp_path / "run", print).space_settings
        assert ("widths" in found) == kept
        assert found.get("widths") == (reach["widths"] if kept else None)
        warm = replace(settings, warm_start=str(tmp_path / "run"))
        assert ("widths" in with_kept_reach(warm, tmp_path / "new", print).space_settings) == ("sha256" not in changes)


def test_derive_shows_what_a_search_within_a_budget_would_search(model, graph, spaces):
    told = []
    wide = hwnas.derive(model)
    half = hwnas.derive(model, latency_budget="1s", progress=told.append)
    assert (wide.space.settings["widths"], half.space.settings["widths"]) == (ALL, HALF)
    assert any(line.startswith("the space holds 50, 75 and 100 % of the channels at 16 pixels; ") for line in told)
    device = SteadyDevice()
    on_it = hwnas.derive(model, latency_budget="1us", device=device).space.settings
    assert on_it["widths"] == ALL
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

"""Which networks a profile measures beside the operators, and which device a table is checked on."""

from collections import Counter
from pathlib import Path

import pytest

import latency_tables
from hwnas import HwnasError
from hwnas._costs._draw import draw_networks
from hwnas.spaces import Choice, Space, make_space
from hwnas.tables import backend_of, space_of
from latency_tables import INPUT, GraphBuilder, load_table
from profilers import graph_macs, ops

TINY = make_space("mobilenetv3", preset="tiny", resolution=8)


def test_ten_calibrate_and_sixty_say_how_wide_intervals_are():
    networks = draw_networks(TINY, 50, 0)
    assert Counter(n.split for n in networks) == {"calibration": 10, "interval": 60, "held-out": 50}
    assert len({n.arch for n in networks}) == 120
    assert [n.arch for n in networks] == [n.arch for n in draw_networks(TINY, 50, 0)]
    assert [n.arch for n in networks] != [n.arch for n in draw_networks(TINY, 50, 1)]


def test_networks_of_the_correction_spread_from_few_to_many_macs():
    networks = draw_networks(TINY, 50, 0)
    macs = sorted(graph_macs(n.graph) for n in networks)
    chosen = sorted(graph_macs(n.graph) for n in networks if n.split == "calibration")
    assert chosen[0] < macs[len(macs) // 8]
    assert chosen[-1] > macs[-len(macs) // 8]


class Few(Space):
    """Eighty networks of one convolution."""

    name = "few"
    settings = {}  # noqa: RUF012
    choices = (Choice("width", tuple(range(1, 41))), Choice("kernel", (1, 3)))

    def graph(self, arch):
        builder = GraphBuilder((3, 8, 8))
        x = builder.add("conv", ops.conv((3, 8, 8), arch.values[0], arch.values[1], act="relu"), INPUT)
        return builder.build(builder.add("classes", ops.linear(builder.shape(x), 10), x))


def test_a_small_space_holds_networks_out_before_it_spends_them_on_intervals():
    networks = draw_networks(Few(), 50, 0)
    assert Counter(n.split for n in networks) == {"calibration": 10, "held-out": 50, "interval": 20}


def test_a_table_of_a_gpu_can_be_checked_on_another_one_of_this_machine(monkeypatch):
    table = load_packaged("nasbench201-32px-host-nvidia-h200.json")
    asked = []
    monkeypatch.setattr("hwnas._tables._validate.make_backend", lambda device, **more: asked.append(device))
    for device in (None, "cuda:1"):
        backend_of(table, space_of(table), device)
    assert asked == ["cuda", "cuda:1"]
    with pytest.raises(HwnasError, match="--device must be one of this machine's GPUs, like cuda:1"):
        backend_of(table, space_of(table), "ssh://board")


def load_packaged(name):
    """A table that hwnas brings."""
    return load_table(Path(latency_tables.__file__).parent / "data" / name)

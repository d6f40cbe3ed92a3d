"""A search goes on whose journal names networks as an earlier version wrote them."""

from simulated_device import AdditiveBackend

import hwnas
from hwnas.spaces import FPN, Space, make_space
from profilers import graph_macs

SMALL = {"classes": 3, "resolution": [64, 96], "width": [0.5], "channels": [8, 16]}


class Size(hwnas.Evaluator):
    """A made-up metric: small networks are good."""

    name = "size"

    def __init__(self, space):
        self.space = space

    @property
    def settings(self):
        """None."""
        return {}

    def evaluate(self, arch):
        """Return a number below 1."""
        return hwnas.Evaluation(1 / (1 + graph_macs(self.space.graph(arch)) / 1e6), 0.0)


def test_a_search_whose_texts_an_earlier_version_wrote_goes_on(tmp_path, monkeypatch):
    space = make_space("fpn", **SMALL)
    prices = tmp_path / "prices.json"
    hwnas.profile(space, AdditiveBackend(), out=prices, networks=2)
    more = {"evaluator": Size(space), "minimize": "macs", "strategy": "random", "finalize": "none", "measure": "none"}
    more |= {"table": prices, "device": AdditiveBackend()}
    with monkeypatch.context() as earlier:
        earlier.setattr(FPN, "format", Space.format)
        before = hwnas.search(space, out=tmp_path / "run", samples=10, **more)
    assert all("width=0.5," in trial.text for trial in before.trials)
    after = hwnas.search(space, out=tmp_path / "run", samples=12, **more)
    assert [trial.values for trial in after.trials[:10]] == [trial.values for trial in before.trials]
    assert all(trial.text.startswith("w0.5r") for trial in after.trials[10:])

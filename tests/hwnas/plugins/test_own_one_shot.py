"""A one-shot method of somebody else's: checked, and used by its name like ours, also for several devices."""

import json

import pytest
import torch
from made_tables import made_table
from own_plugins import install

import hwnas
from hwnas._api._machine import plugins
from hwnas._cli import main
from hwnas._pipeline._strategies import make_strategy, strategy_names, strategy_options
from hwnas.oneshot import OneShotMethod, make_method, method_options, read_training
from hwnas.testing import check_one_shot_method
from hwnas.testing._oneshot import KnownSpace
from latency_tables import save_table

torch.set_num_threads(1)
SPACE = KnownSpace()


class Descent(OneShotMethod):
    """Plain gradient descent on logits."""

    name, share = "descent", 0.3
    options = (hwnas.StrategyOption("lr", 2.0, "learning rate", minimum=0.0, maximum=100.0),)

    def __init__(self, space, *, epochs, lr=2.0):
        super().__init__(space, epochs=epochs)
        self.lr = lr
        self.logits = [torch.zeros(n, dtype=torch.float64, requires_grad=True) for n in space.cardinalities]

    def distribution(self):
        return [vector.detach().softmax(0) for vector in self.logits]

    def draw(self, rng):
        return [vector.softmax(0) for vector in self.logits]

    def priced(self):
        return self.draw(None)

    def learns(self, epoch):
        return True

    def step(self, loss, cost, progress):
        total = loss if cost is None else loss + torch.relu(cost - 1.0)
        gradients = torch.autograd.grad(total, self.logits, allow_unused=True)
        with torch.no_grad():
            for vector, gradient in zip(self.logits, gradients, strict=True):
                vector -= self.lr * (0.0 if gradient is None else gradient)

    def state(self):
        return {"logits": [vector.detach().clone() for vector in self.logits]}

    def load_state(self, state):
        with torch.no_grad():
            for vector, stored in zip(self.logits, state["logits"], strict=True):
                vector.copy_(stored)


def not_a_method(space, *, epochs):
    return None


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})
    monkeypatch.setattr("hwnas._report._several._pictures", lambda training: {})
    methods = {"descent": "Descent", "other": "Descent", "wrong": "not_a_method", "both": "Descent", "drnas": "Descent"}
    points = {name: f"{__name__}:{member}" for name, member in methods.items()}
    install(tmp_path / "site", "down", {"oneshot": points, "strategies": {"both": f"{__name__}:not_a_method"}})
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)


def test_it_keeps_the_contract():
    check_one_shot_method(lambda space, epochs: make_method("descent", space, epochs=epochs))


def test_its_options_are_those_of_a_strategy():
    assert [option.name for option in method_options("descent")] == ["lr"]
    assert [option.name for option in strategy_options("descent")] == ["lr", "rungs", "cost", "single"]
    assert make_strategy("descent", lr=1.0, rungs=4).name == "descent(lr=1.0, rungs=4)"
    assert "descent" in strategy_names()


def test_it_searches_by_its_name(tmp_path):
    for samples in (10, 12):
        found = hwnas.search(
            SPACE,
            data="digits",
            data_limit=80,
            epochs=2,
            table=made_table(SPACE, None),
            offline=True,
            strategy="descent",
            samples=samples,
            out=tmp_path / "run",
        )
    assert len(found.trials) == 12
    assert read_training(tmp_path / "run" / "evaluator" / "oneshot.json").method == "descent"
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())["settings"]
    assert settings["strategy"] == "descent"


def test_it_learns_a_distribution_for_each_of_several_devices(tmp_path):
    tables = [tmp_path / "phone.json", tmp_path / "board.json"]
    for seed, table in enumerate(tables):
        save_table(made_table(SPACE, None, seed), table)
    found = hwnas.search(
        SPACE,
        data="digits",
        data_limit=80,
        epochs=2,
        tables=tables,
        latency_budget="0.5ms",
        offline=True,
        strategy="descent",
        samples=10,
        out=tmp_path / "run",
    )
    record = read_training(tmp_path / "run" / "evaluator" / "oneshot.json")
    assert list(record.devices) == ["phone", "board"]
    assert not record.is_shared
    assert any(found.devices.values())


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("other", "one-shot 'other' of down 1.0 has the attribute name = 'descent'; both names must be the same"),
        ("wrong", "one-shot 'wrong' of down 1.0 is not a valid one-shot method: it must be a subclass of OneShotMeth"),
        ("both", "down 1.0 provides a strategy 'both' and down 1.0 a one-shot method of this name; uninstall one of"),
        ("drnas", "down 1.0 provides a one-shot 'drnas', but hwnas has one of this name itself; uninstall it"),
        ("ascent", "unknown strategy 'ascent'; choose from"),
    ],
)
def test_what_cannot_be_used_is_one_line(name, line, capsys):
    assert main(["search", "--strategy", name, "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert len(error.strip().splitlines()) == 1


def test_help_and_the_list_of_plugins_name_it(capsys):
    usable = {entry.name: entry.usable for entry in plugins() if entry.kind == "one-shot"}
    assert usable == {"both": True, "descent": True, "drnas": False, "other": True, "wrong": True}
    with pytest.raises(SystemExit):
        main(["search", "--help"])
    assert "--strategy of plug-ins: both, descent, drnas, other, wrong" in capsys.readouterr().out

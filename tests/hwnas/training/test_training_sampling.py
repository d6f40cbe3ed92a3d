"""Attentive sampling: candidates of one cost from the space's own distribution, and the right one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from training_toys import SPACES, cells, digits, digits_task, mobile

from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import EvaluatorError
from hwnas.evaluators import make_evaluator
from hwnas.spaces import Space
from hwnas.training import CostFunction, Recipe, Supernet, default_recipe, train_supernet
from hwnas.training._batches import TrainLoader
from hwnas.training._sampling import draw_near
from hwnas.training._supernet_training import _Sandwich


def macs(space: Space) -> CostFunction:
    return CostFunction("macs", SpaceCosts(space, None).cost("macs"))


@pytest.mark.parametrize("kind", sorted(SPACES))
def test_candidates_have_nearly_one_cost_and_costs_the_spaces_distribution(kind: str) -> None:
    space, rng = SPACES[kind](), np.random.default_rng(0)
    cost = macs(space)
    targets, others, uniform = [], [], space.sample(600, rng)
    for _ in range(300):
        found = draw_near(space, cost, 4, rng)
        assert len(set(found)) == len(found) == 4
        values = cost.of(np.array([space.encode(arch) for arch in found]))
        targets.append(values[0])
        others += (values[1:] / values[0]).tolist()
    assert np.mean(np.abs(np.array(others) - 1) <= 0.05) > 0.9
    assert abs(np.mean(others) - 1) < 0.02
    wanted = np.quantile(cost.of(np.array([space.encode(arch) for arch in uniform])), [0.1, 0.3, 0.5, 0.7, 0.9])
    shares = [np.mean(np.array(targets) <= value) for value in wanted]
    np.testing.assert_allclose(shares, [0.1, 0.3, 0.5, 0.7, 0.9], atol=0.2 if kind == "nasbench201" else 0.1)


def test_draws_follow_the_seed_and_take_the_nearest_where_none_is_near() -> None:
    space = mobile()
    exact = CostFunction("digits", lambda codes: codes @ 7.0 ** np.arange(codes.shape[1]) + 1)
    one, again = ([draw_near(space, exact, 3, np.random.default_rng(s)) for s in range(20)] for _ in range(2))
    assert one == again
    assert all(len(found) == 3 for found in one)
    first = [found[0] for found in one]
    assert first == [space.sample(1, np.random.default_rng(s))[0] for s in range(20)]


@pytest.mark.parametrize("sampling", ["bestup", "worstup"])
def test_the_best_or_the_worst_candidate_is_trained(sampling: str) -> None:
    space, task = cells(), digits_task()
    recipe = default_recipe(task, epochs=1, batch_size=20, sampling=sampling, candidates=4, random_subnets=3)
    sandwich = _Sandwich(Supernet(space, seed=1), task, recipe, "cpu", macs(space))
    x, _ = next(TrainLoader(task, recipe, (1, 8, 8), "cpu").epoch(np.random.default_rng(0)))
    outputs = tuple(output.detach() for output in sandwich._outputs(sandwich.supernet.largest, x))
    teacher = outputs[0].softmax(1)
    rng = np.random.default_rng(5)
    for chosen in sandwich._chosen(x, outputs, np.random.default_rng(5)):
        losses = {}
        for arch in draw_near(space, sandwich.cost, 4, rng):
            logits = sandwich.supernet(x, arch).detach()
            losses[arch] = float(-(teacher * logits.log_softmax(1)).sum(1).mean())
        wanted = min(losses.values()) if sampling == "bestup" else max(losses.values())
        assert losses[chosen] == pytest.approx(wanted, rel=1e-5)
        assert max(losses.values()) > min(losses.values()) + 1e-4


def trained(recipe: Recipe, cost: CostFunction | None = None, checkpoint: Path | None = None) -> torch.Tensor:
    net = Supernet(cells(), seed=1)
    train_supernet(net, digits_task(), recipe, seed=1, cost=cost, checkpoint=checkpoint)
    return torch.cat([tensor.detach().flatten() for tensor in net.shared().values()])


def test_samplings_and_costs_train_other_supernets(tmp_path: Path) -> None:
    recipes = {
        name: default_recipe(digits_task(), epochs=1, batch_size=20, sampling=name)
        for name in ("uniform", "bestup", "worstup")
    }
    found = {name: trained(recipe) for name, recipe in recipes.items()}
    assert not torch.equal(found["uniform"], found["bestup"])
    assert not torch.equal(found["bestup"], found["worstup"])
    file, memory = tmp_path / "x.pt", CostFunction("memory", SpaceCosts(cells(), None).cost("peak_memory_bytes"))
    assert torch.equal(trained(recipes["bestup"], None, file), found["bestup"])
    assert not torch.equal(trained(recipes["bestup"], memory), found["bestup"])
    with pytest.raises(EvaluatorError) as caught:
        trained(recipes["bestup"], memory, file)
    assert str(caught.value) == (
        f"checkpoint {file}: belongs to cost macs, not memory; use another folder or remove it to train again"
    )
    assert torch.equal(trained(recipes["uniform"], memory), found["uniform"])


def test_an_evaluator_passes_its_cost_on(tmp_path: Path) -> None:
    evaluator = make_evaluator("supernet", cells(), digits(), epochs=1, batch_size=20, sampling="worstup")
    asked = []

    def cost(codes: np.ndarray) -> np.ndarray:
        asked.append(len(codes))
        return SpaceCosts(cells(), None).cost("params")(codes)

    evaluator.cost = CostFunction("mine", cost)
    evaluator.prepare(tmp_path)
    assert sum(asked) > 100

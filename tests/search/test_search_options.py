"""Options of strategies, the names that stand for them, and the packages that strategies need."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from search_toys import advance, toy_problem

import search._registry
from search import (
    STRATEGIES,
    STRATEGY_VARIANTS,
    SearchError,
    Strategy,
    StrategyOption,
    Study,
    make_strategy,
    parse_strategy_options,
    strategy_names,
    strategy_options,
)
from search.lamoo import LaMOO, MutationSampler, TreeSettings
from search.strategies import LowFidelityFirst

OPTIONS = [(name, option) for name in STRATEGIES for option in strategy_options(name)]

NEEDS = dict.fromkeys(("nsga2", "nsga3", "moead"), "pymoo")


def trials(strategy: Strategy, budget: int = 15):
    return advance(Study(toy_problem(), strategy, seed=3, initial=6, batch=3), budget).trials


def refused(call, *args, **options) -> str:
    with pytest.raises(SearchError) as caught:
        call(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "variant", ["lamoo-mutation", "lamoo-faithful", "lamoo-qehvi", "qehvi-hamming", "qehvi-learned"]
)
def test_a_variant_is_its_strategy_with_options(variant):
    name, options = STRATEGY_VARIANTS[variant]
    strategy = make_strategy(name, **options)
    assert strategy.name == variant
    assert trials(strategy) == trials(make_strategy(variant)) != trials(make_strategy(name))


def test_lamoo_is_made_from_its_options():
    strategy = make_strategy("lamoo", sampler="mutation", min_split=4, kernel="poly", exploration=1)
    assert isinstance(strategy, LaMOO)
    assert isinstance(strategy.sampler, MutationSampler)
    assert strategy.settings == TreeSettings(min_split=4, kernel="poly", exploration=1.0)
    assert strategy.name == "lamoo(sampler=mutation, exploration=1.0, min_split=4, kernel=poly)"
    low = make_strategy("lamoo", low_fidelity_ratio=3)
    assert isinstance(low, LowFidelityFirst)
    assert (low.ratio, low.name) == (3, "lamoo(low_fidelity_ratio=3)")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lamoo", {"sampler": "scalar"}),
        ("lamoo", {"model": "forest"}),
        ("lamoo-mutation", {"exploration": 3.0, "min_split": 3}),
        ("moead", {"directions": 5, "neighbours": 2, "inside": 0.5}),
        ("nsga2", {"population": 4}),
        ("nsga3", {"population": 4}),
        ("smem", {"surrogate": "regression"}),
        ("smem", {"surrogate": "svc"}),
        ("smem", {"population": 8, "generations": 3}),
        ("controller", {"reward": "hypervolume"}),
        ("controller", {"replay": 0}),
        ("controller", {"epochs": 2, "rate": 0.05, "entropy": 0.5}),
    ],
)
def test_options_change_the_search_and_resume(name, options):
    pytest.importorskip(NEEDS.get(name, "search"))
    whole = trials(make_strategy(name, **options), 30)
    assert len(whole) == 30
    assert whole != trials(make_strategy(name), 30)
    restored = Study.restore(
        toy_problem(), make_strategy(name, **options), seed=3, trials=whole[:25], initial=6, batch=3
    )
    assert advance(restored, 30).trials == whole


def test_default_values_leave_the_name_alone():
    for name in STRATEGIES:
        assert make_strategy(name, **{option.name: option.default for option in strategy_options(name)}).name == name


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=lambda value: getattr(value, "name", value))
def test_every_option_is_documented_and_reads_its_own_default(name, option):
    assert 10 < len(option.help) < 100
    assert option.allowed
    assert option.check(option.default) == option.default
    assert option.check(None) is None
    assert parse_strategy_options(name, [f"{option.name}={str(option.default).lower()}"]) == {
        option.name: option.default
    }


def test_variants_set_options_to_other_values_than_the_defaults():
    for name, (strategy, fixed) in STRATEGY_VARIANTS.items():
        declared = {option.name: option for option in strategy_options(strategy)}
        assert all(declared[key].check(value) == value != declared[key].default for key, value in fixed.items())
        assert {option.name for option in strategy_options(name)} == set(declared) - set(fixed)


def test_texts_are_read_in_the_type_of_the_option():
    read = parse_strategy_options("lamoo", ["sampler=cmaes", " min_split = 3 ", "exploration=1", "hedge=2e-1"])
    assert read == {"sampler": "cmaes", "min_split": 3, "exploration": 1.0, "hedge": 0.2}
    assert [type(value) for value in read.values()] == [str, int, float, float]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "lamoo",
            "sampler=best",
            "strategy lamoo: option sampler must be one of ehvi, scalar, mutation, cmaes, random, got 'best'",
        ),
        ("lamoo", "hedge=1.5", "strategy lamoo: option hedge must be a number from 0 to 1, got '1.5'"),
        ("lamoo", "hedge=nan", "strategy lamoo: option hedge must be a number from 0 to 1, got 'nan'"),
        ("lamoo", "min_split=3.5", "strategy lamoo: option min_split must be an integer of 2 or more, got '3.5'"),
        ("lamoo", "min_split=1", "strategy lamoo: option min_split must be an integer of 2 or more, got '1'"),
        ("lamoo", "sampler", "strategy lamoo: an option must be name=value, got 'sampler'"),
        ("nsga2", "size=3", "strategy nsga2 has no option 'size'; its options are population"),
        ("random", "size=3", "strategy random has no option 'size'; it has no options"),
        ("lamoo-random", "sampler=ehvi", "strategy lamoo-random has no option 'sampler'; its options are model, hedge"),
        ("best", "size=3", "unknown strategy 'best'; choose from lamoo, "),
    ],
)
def test_wrong_texts_say_what_is_allowed(name, text, message):
    assert refused(parse_strategy_options, name, [text]).startswith(message)


def test_an_option_is_given_once():
    assert "given twice" in refused(parse_strategy_options, "lamoo", ["hedge=0", "hedge=0.1"])


@pytest.mark.parametrize("value", ["20", 2.5, True, None, 1, [3]])
def test_wrong_values_are_refused(value):
    assert "option population must be an integer from 2 to 1000" in refused(make_strategy, "nsga2", population=value)


def test_the_population_of_smem_has_a_limit():
    assert make_strategy("smem", population=1000).name == "smem(population=1000)"
    assert "option population must be an integer from 2 to 1000" in refused(make_strategy, "smem", population=1001)


def test_a_boolean_option_reads_true_and_false():
    flag = StrategyOption("flag", False, "whether the flag is up")
    assert [flag.parse(text) for text in ("true", "False", "1", "")] == [True, False, None, None]
    assert [flag.check(value) for value in (True, 1, "true")] == [True, None, None]
    assert flag.allowed == "true or false"


def test_a_model_needs_a_sampler_that_has_one():
    message = refused(make_strategy, "lamoo", sampler="random", hedge=0.2)
    assert message == "strategy lamoo: option hedge needs a sampler with a model (ehvi, scalar), got sampler=random"
    assert "option model needs" in refused(make_strategy, "lamoo-mutation", model="forest")


@pytest.mark.parametrize(
    ("name", "options", "end"),
    [
        ("nsga2", {}, "strategy nsga2 needs the package pymoo; run: pip install 'hwnas[compare]'"),
        ("tpe", {}, "strategy tpe needs the package optuna; run: pip install 'hwnas[compare]'"),
        ("lamoo", {"sampler": "cmaes"}, "strategy lamoo needs the package cmaes; run: pip install cmaes"),
        ("lamoo-cmaes", {}, "strategy lamoo-cmaes needs the package cmaes; run: pip install cmaes"),
    ],
)
def test_a_strategy_that_lacks_its_package_says_what_to_install(monkeypatch, name, options, end):
    monkeypatch.setattr("search._packages.find_spec", lambda package: None)
    assert refused(make_strategy, name, **options) == end
    assert name in strategy_names()
    assert make_strategy("lamoo").name == "lamoo"


def test_a_strategy_needs_no_package_of_comparisons_unless_it_says_so():
    """Every strategy without `extra` searches where the packages of the extra cannot be imported."""
    names = [name for name in STRATEGIES if search._registry._CLASSES[name].extra == "" and name != "qlognehvi"]
    own = {"lamoo", "qehvi", "smem", "controller", "parego", "mobopt", "random", "mutation", "cmaes"}
    assert own == set(names)
    code = f"""
        import sys

        BLOCKED = ("pymoo", "optuna")

        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in BLOCKED:
                    raise ImportError(name)

        sys.meta_path.insert(0, Blocked())
        sys.path.insert(0, {str(__file__.rpartition("/")[0])!r})
        from search_toys import advance, toy_problem
        from search import Constraint, Domain, Objective, Problem, SearchError, Study, make_strategy, strategy_names

        def run(name, problem):
            study = Study(problem, make_strategy(name), seed=0, initial=6, batch=3)
            while len(study.trials) < 14:
                for proposal in study.ask():
                    study.tell(proposal.number, {{"score": float(sum(proposal.codes) % 5)}})
            study.front(), study.context().hypervolume

        costs = [lambda codes, k=k: codes @ [1.0, k, 2.0, 0.5] + 1.0 for k in range(3)]
        objectives = [Objective(f"cost{{k}}", "min", cost_function=cost) for k, cost in enumerate(costs)]
        many = Problem(Domain((3, 4, 2, 5)), (Objective("score", "max"), *objectives))
        for name in {names!r}:
            advance(Study(toy_problem(), make_strategy(name), seed=0, initial=6, batch=3), 12)
            run(name, many)
        assert not [name for name in sys.modules if name.split(".")[0] in BLOCKED]
        assert {{"nsga2", "tpe"}} <= set(strategy_names())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=[f"{name}-{option.name}" for name, option in OPTIONS])
def test_sizes_have_a_greatest_value(name, option):
    if type(option.default) is int and option.name not in {"min_split", "max_depth"}:  # which cost nothing
        assert option.maximum is not None


@pytest.mark.parametrize("sampler", ["scalar", "mutation", "cmaes", "random"])
def test_samplers_that_learn_nothing_from_low_fidelity_do_not_pay_for_it(sampler):
    assert "learns from them" in refused(make_strategy, "lamoo", sampler=sampler, low_fidelity_ratio=2)
    assert "learns from them" in refused(make_strategy, "lamoo", sampler=sampler, low_fidelity_design=8)
    make_strategy("lamoo", sampler=sampler, low_fidelity_ratio=0)

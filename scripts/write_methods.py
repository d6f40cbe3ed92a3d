"""Write docs/methods.md, which compares the methods for a person who must choose, from the results in docs/results.

scripts/write_methods.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from _benchmark_numbers import compared, counts, gap_at_end, geometric, is_bound
from _mean_rows import mean_row
from _page import wrapped

from latency_tables import write_atomic

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
PAGE = ROOT / "docs" / "methods.md"
CHEAP = "lamoo-low-fidelity"


class Method(NamedTuple):
    """What a person must know of a strategy before its figures.

    Attributes:
        name: What `--strategy` takes.
        idea: How it chooses, in a few words.
        suited: Where it is a good choice.
        extra: Extra of hwnas that installs what it needs; empty for none.
    """

    name: str
    idea: str
    suited: str
    extra: str = ""


BLACK_BOX = (
    Method(
        "lamoo",
        "learns a partition of the space; a model and exact costs choose inside a part",
        "the default: few evaluations",
    ),
    Method(
        "qehvi",
        "the same model without the partition",
        "as good where the model fits; gives no partition to inspect",
    ),
    Method(
        "smem",
        "a classifier of pairs ranks, an evolution proposes",
        "accuracies easier to rank than to predict",
    ),
    Method(
        "controller",
        "an LSTM policy, trained by PPO on finished trials",
        "long searches; no features needed",
    ),
    Method("mobopt", "local policies trained on the model", "comparisons with MOBOpt on compressed models"),
    Method("parego", "a model of random scalarisations", "many objectives; a baseline"),
    Method("qlognehvi", "BoTorch's models and acquisition", "a baseline from a known library"),
    Method("mutation", "mutates members of the front", "no model; thousands of cheap evaluations"),
    Method("nsga2", "evolution by non-dominated sorting", "no model; thousands of cheap evaluations", "compare"),
    Method(
        "nsga3",
        "evolution by non-dominated sorting, with reference directions",
        "many objectives, no model",
        "compare",
    ),
    Method("moead", "evolution by decomposition", "many objectives, no model", "compare"),
    Method("tpe", "Optuna's Parzen estimators", "a baseline", "compare"),
    Method("cmaes", "CMA-ES for categories", "a baseline"),
    Method("random", "draws", "the baseline that every method must beat"),
)


def main() -> None:
    """Write the page."""
    write_atomic(PAGE, page())


def page() -> str:
    """Return the page."""
    lines = [
        "# Which method to choose",
        "",
        "Written by `scripts/write_methods.py` from `docs/results`; do not edit by hand.",
        "",
    ]
    lines += wrapped(
        """Every method of hwnas searches the same spaces, under the same budgets, with the same measured latencies,
        and is one flag away: `hwnas search --strategy NAME`. **If you do not want to choose, take the default,
        `lamoo`.**"""
    )
    lines += choices()
    lines += black_box(results("search"))
    lines += detectors(results("controller"))
    lines += one_shot(results("oneshot-tabular"))
    lines += trained({name: results(f"methods-{name}") for name in ("mobilenetv3", "nasbench201")})
    return "\n".join(lines).rstrip() + "\n"


def results(name: str) -> Any:
    """Read a file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def choices() -> list[str]:
    """Write which method suits which situation."""
    return [
        "| your situation | take |",
        "|---|---|",
        "| Networks share trained weights (`--evaluator supernet`), or an accuracy costs minutes | `lamoo` |",
        "| A cheap evaluation predicts the expensive one in part | `lamoo` with `--low-fidelity` |",
        "| An accuracy costs milliseconds (a published table, a predictor) | `mutation` or `nsga2`: no model to fit |",
        "| You want one training of a supernet, and few trials | a one-shot method: `drnas`, `dmasking` |",
        "| A choice among operators (cells), and time for a short training only | `ddpnas` |",
        "| Only widths and resolutions are to be chosen | `dmasking` |",
        "| Signals or maps that need a large receptive field | `dash` |",
        "| Several budgets from one training | `ddpnas`, or any one-shot method with [`solve`]("
        "oneshot.md#solve-the-most-probable-network-within-budgets), in Python |",
        "| A diverse set of networks from one training | `pvnas` |",
        "",
    ]


def black_box(record: dict[str, Any]) -> list[str]:
    """Write the strategies that propose from evaluated architectures."""
    pairs = record["pairs"]
    lines = [
        "## Methods that propose from finished evaluations",
        "",
        *wrapped(
            """They need nothing but an evaluator, and their cost is the number of evaluations. *To 99 %*: evaluations
            until 1 % of the best hypervolume is missing, on NAS-Bench-201 with latencies of eight pairs of data set
            and device, 20 seeds (geometric mean; see [benchmarks](benchmarks.md)). *Missing*: the share that is
            missing after 200 evaluations. *Beaten by the default*: pairs on which `lamoo` needs significantly fewer
            evaluations. The default was tuned on these pairs."""
        ),
        "| `--strategy` | how it chooses | choose it for | needs | to 99 % | missing | beaten by the default |",
        "|---|---|---|---|---|---|---|",
    ]
    shown = [method for method in BLACK_BOX if any(method.name in pair["rows"] for pair in pairs.values())]
    lines += [_row(method, pairs) for method in sorted(shown, key=lambda method: _to_99(method, pairs))]
    cost = geometric([geometric(list(pair["rows"][CHEAP]["cost_to_99"].values())) for pair in record["cheap"].values()])
    lines += [
        "",
        *wrapped(
            f"""With `--low-fidelity` (here accuracies after 12 epochs, at .06 of the cost) the default needs the cost
            of {cost:.0f} evaluations, low-fidelity ones included."""
        ),
    ]
    return lines


def _to_99(method: Method, pairs: dict[str, Any]) -> float:
    """Return the evaluations to 99 %, the geometric mean over pairs and seeds."""
    rows = [pair["rows"][method.name] for pair in pairs.values() if method.name in pair["rows"]]
    return geometric([geometric(list(counts(row).values())) for row in rows])


def _row(method: Method, pairs: dict[str, Any]) -> str:
    rows = [pair["rows"][method.name] for pair in pairs.values() if method.name in pair["rows"]]
    sign = ">= " if any(is_bound(row) for row in rows) else ""
    _, won, _, number, _ = compared(pairs, "lamoo", method.name)
    gap = gap_at_end(pairs, method.name)
    beaten = "-" if method.name == "lamoo" else f"{won} of {number}"
    needs = f"`hwnas[{method.extra}]`" if method.extra else "-"
    missing = "-" if gap is None else _percent(gap, 2)
    cells = (
        f"`{method.name}`",
        method.idea,
        method.suited,
        needs,
        f"{sign}{_to_99(method, pairs):.0f}",
        missing,
        beaten,
    )
    return f"| {' | '.join(cells)} |"


def detectors(record: dict[str, Any]) -> list[str]:
    """Write how the controller learns on detectors."""
    (seed, *_) = record["seeds"]
    return wrapped(
        f"""The controller also learns where networks are detectors (space `fpn`, images of {record["size"]} pixels,
        {record["epochs"]} epochs each, `scripts/bench_controller.py`). The reward is the average precision minus the
        logarithm of the predicted latency, each scaled to the range of {record["random"]} random networks. Their 75th
        percentile is {seed["random_percentile"]:.2f}; the median of the controller's first 30 trials is
        {seed["first_median"]:.2f}, that of its last 30 of {record["samples"]} is {seed["last_median"]:.2f}, and
        {_percent(seed["last_above"])} of these are above that 75th percentile."""
    )


def one_shot(record: dict[str, Any]) -> list[str]:
    """Write the methods that learn a distribution while they train a supernet."""
    drnas, ddpnas, sweep = record["drnas"]["default"], record["ddpnas"], record["sweep"]
    shares = [np.mean(device["shares"]) for device in sweep.values() if isinstance(device, dict)]
    return [
        "## One-shot methods",
        "",
        *wrapped(
            """They train a supernet, and learn with it how probable each choice is. They need `--evaluator supernet`,
            and work in all spaces of hwnas and in those declared in JSON. Their cost is one training, a
            few times that of the largest network; the trials after it cost seconds. What the supernet
            says of a choice can be wrong: small supernets that are trained for few epochs prefer choices
            that learn fast. So their networks are evaluated, measured and, with `--finalize`, trained
            like those of every other method."""
        ),
        "| `--strategy` | the distribution learns from | choose it for |",
        "|---|---|---|",
        "| `drnas` | gradients, through draws of a Dirichlet distribution | choices among kinds of operators |",
        "| `dmasking` | gradients, through Gumbel softmax and masks of channels | widths, depths and resolutions |",
        "| `ddpnas` | validation accuracies of drawn networks | budgets that must bind from the first epoch on |",
        "| `dash` | gradients, in the same steps as the weights | kernel sizes and dilations |",
        "| `pvnas` | gradients, with several warm restarts | a diverse set from one training |",
        "",
        *wrapped(
            f"""With the known accuracies of NAS-Bench-201 in the place of training
            (`scripts/bench_oneshot_tabular.py`), DrNAS finds the cell of its paper in {drnas["published"]} of
            {record["drnas"]["seeds"]} runs, a sweep of eight latency weights reaches {min(shares):.2f} to
            {max(shares):.2f} of the true front's hypervolume on {len(shares)} devices, and DDPNAS finds
            {np.mean(ddpnas["accuracies"]):.2f} % on average over {ddpnas["seeds"]} runs (the best of 42 random
            cells: {np.mean(ddpnas["best_of_42_random"]):.2f} %). That shows that their rules work, not what
            training makes of them. More: [one-shot methods](oneshot.md)."""
        ),
    ]


def trained(records: dict[str, Any]) -> list[str]:
    """Write what the methods find where everything is trained, from CIFAR-10 images."""
    lines = [
        "## The methods with real trainings",
        "",
        *wrapped(
            """Small runs on one CPU (`scripts/bench_methods.py`): tiny spaces, 3,000 images of CIFAR-10 to train and
            1,000 to choose by, three seeds, one thread. Each method trains a supernet (one network with
            shared weights, out of which the others are cut), for equally many epochs. `lamoo` and random
            search use the same one (`--evaluator supernet`): each of its steps passes the images through
            four networks, so it costs more a step, and it serves both methods and both limits. Of each
            search, the network with the best validation accuracy within the limit is trained from
            scratch. So are the *narrowed networks*: the largest network with its channels times 0.5 or
            0.25."""
        ),
        *wrapped(
            """*Limit*: a share of the measured latency of the largest network; it is a little above that of a network
            with fewer channels. *Ahead*: test accuracy beside the narrowed network that is named and the
            same seed, mean and standard error in points. *Latency*: of the ONNX files, measured in the
            same rounds. *Search*: core-minutes for one seed and limit, the supernet included. *Entropy*:
            how undecided the distribution of a one-shot method ended; 100 % is uniform."""
        ),
    ]
    for name, record in records.items():
        lines += _trained_table(name, record)
    return [
        *lines,
        *wrapped(
            """In `mobilenetv3`, the networks of all methods are more accurate *and* faster than the narrowed ones;
            differences between the methods are within the errors. The cells of `nasbench201` show what a supernet
            can get wrong: `lamoo` and random search rank networks by it, and after so few epochs it prefers
            cells of poolings, skips and zeros (the last column counts skips and zeros among the six edges, for each
            seed). These learn fast, but trained from scratch they are mostly behind the narrowed networks. The one-shot
            methods fall for it less: `ddpnas` is ahead at both limits, the others are level with the narrowed
            networks, although all distributions are hardly decided yet. So train a supernet for longer than
            this, or take `--evaluator train` where a space chooses among operators. One network of each search, chosen
            by 1,000 images, and three seeds say little about small differences."""
        ),
    ]


def _trained_table(name: str, record: dict[str, Any]) -> list[str]:
    """Write a row for each limit and method."""
    largest, *narrowed = dict.fromkeys(row["who"] for row in record["rows"] if row["share"] is None)
    whole = next(mean for mean in record["means"] if mean["who"] == largest)
    cells, scale = name == "nasbench201", record["scale"]
    lines = [
        f"**`{name}`**, supernets trained for {scale['search_epochs']} epochs, found ones for "
        f"{scale['epochs']}; the largest network reaches {100 * whole['test']:.1f} % in {whole['median_ms']:.3f} ms:",
        "",
        f"| limit | method | test accuracy | ahead | latency | MACs | search | entropy |{' skips, zeros |' * cells}",
        f"|---|---|---|---|---|---|---|---|{'---|' * cells}",
    ]
    for share, beside in zip(scale["shares"], narrowed, strict=True):
        contestants = dict.fromkeys(row["who"] for row in record["rows"] if row["share"] == share)
        for who in (beside, *contestants):
            searched = who != beside
            mean = mean_row(record["rows"], beside, who, share if searched else None)
            row = (
                _percent(share),
                f"`{who}`" if searched else f"channels x {beside.split()[1]}",
                _percent(mean["test"], 1),
                f"{100 * mean['lead']:+.1f} ± {100 * mean['lead_error']:.1f}" if searched else "-",
                f"{mean['median_ms']:.3f} ms",
                f"{mean['macs'] / 1e6:.1f} M",
                f"{_core_minutes(record, who, share):.1f} min" if searched else "-",
                _entropy(record, who, share),
            )
            collapse = _collapse(record, who, share) if searched else "-"
            lines.append(f"| {' | '.join((*row, collapse) if cells else row)} |")
    return [*lines, ""]


def _core_minutes(record: dict[str, Any], who: str, share: float) -> float:
    """Return what a search costs, with the supernet that it uses."""
    spent = record["core_seconds"]
    own = [value for name, value in spent.items() if name.startswith("search-") and name.endswith(f"-{who}-{share:g}")]
    shared = [value for name, value in spent.items() if name.startswith("supernet-")]
    return float(np.mean(own) + (np.mean(shared) if who in ("lamoo", "random") else 0.0)) / 60.0


def _entropy(record: dict[str, Any], who: str, share: float) -> str:
    """Return the entropy of a one-shot method's distribution at the end of the training, the mean over the seeds."""
    own = [value for name, value in record["entropies"].items() if name.endswith(f"-{who}-{share:g}")]
    return _percent(float(np.mean(own))) if own else "-"


def _collapse(record: dict[str, Any], who: str, share: float) -> str:
    """Return how many of a cell's six edges are identities and zeros, for each seed."""
    cells = [row["network"] for row in record["rows"] if (row["who"], row["share"]) == (who, share)]
    return "; ".join(f"{cell.count('skip_connect')}, {cell.count('none')}" for cell in cells)


def _percent(share: float, digits: int = 0) -> str:
    return f"{share:.{digits}%}".replace("%", " %")


if __name__ == "__main__":
    main()

"""`make_evaluator` and what is special to each evaluator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hwnas._errors import EvaluatorError
from hwnas.data import load_data
from hwnas.evaluators import Evaluator, evaluator_names, make_evaluator
from hwnas.spaces import Space, make_space

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "nasbench201.csv.gz"


def cells(**settings: object) -> Space:
    return make_space("nasbench201", image_size=8, image_channels=1, cells=1, channels=4, **settings)


def refuses(message: str, spec: str, space: Space, *args: object, **options: object) -> None:
    with pytest.raises(EvaluatorError) as caught:
        make_evaluator(spec, space, *args, **options)  # type: ignore[arg-type]
    assert str(caught.value) == message


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


NAMES = ["gradnorm", "naswot", "parameters", "supernet", "synflow", "table:FILE", "train"]


def test_refusals() -> None:
    data = load_data("digits", limit=60)
    refuses("unknown evaluator 'oracle'; known: " + ", ".join(NAMES), "oracle", cells())
    assert evaluator_names() == NAMES
    refuses("evaluator train: it needs a data set", "train", cells())
    refuses("data digits: 10 classes, the space's networks output 7; set classes=10", "train", cells(classes=7), data)
    colour = make_space("mobilenetv3", resolution=8)
    reason = "images have 1 channel, the space's networks read 3; set image_channels=1"
    refuses(f"data digits: {reason}", "supernet", colour, data)
    reason = "bn_statistics must be at least 2 samples, got 1"
    refuses(f"evaluator supernet: {reason}", "supernet", cells(), data, bn_statistics=1)
    reason = "halving must be an integer of at least 2, got 1"
    refuses(f"evaluator train: {reason}", "train", cells(), data, halving=1)
    reason = "samples must be an integer of at least 2, got 1"
    refuses(f"evaluator naswot: {reason}", "naswot", cells(), data, samples=1)
    refuses("evaluator synflow has no option 'epochs'; known options: samples", "synflow", cells(), data, epochs=3)


def test_none_stands_for_the_default() -> None:
    data = load_data("digits", limit=60)
    settings = [
        make_evaluator("supernet", cells(), data, epochs=epochs, bn_statistics=None).settings for epochs in (None, 7)
    ]
    recipes = [s["recipe"] for s in settings]
    assert recipes[1] == {**recipes[0], "epochs": 7}  # type: ignore[dict-item]
    assert recipes[0]["epochs"] == 100  # type: ignore[index]


TWO = (
    "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
    "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|",
)


def table_text(first: str, second: str) -> str:
    return f"arch,acc,ms\n{TWO[0]},{first},4\n{TWO[1]},{second},5\n"


@pytest.mark.parametrize(("cells_text", "fractions"), [(("10", "93.5"), (0.1, 0.935)), (("0.1", "1"), (0.1, 1.0))])
def test_table_percent_and_fractions(tmp_path: Path, cells_text: tuple[str, str], fractions: tuple[float, ...]) -> None:
    space, file = cells(), write(tmp_path / "t.csv", table_text(*cells_text))
    evaluator = make_evaluator(f"table:{file}", space, extra_columns=["ms"])
    found = [evaluator.evaluate(space.parse(text)) for text in TWO]
    assert [e.value for e in found] == pytest.approx(fractions)
    assert [dict(e.extra_columns) for e in found] == [{"ms": 4.0}, {"ms": 5.0}]


def test_table_refusals(tmp_path: Path) -> None:
    space, file = cells(), write(tmp_path / "t.csv", table_text("10", "93.5"))
    refuses(
        "evaluator table has no option 'epochs'; known options: accuracy_column, extra_columns",
        f"table:{file}",
        space,
        epochs=3,
    )
    reason = "no column 'top1' of numbers; it has acc, ms"
    refuses(f"table {file}: {reason}", f"table:{file}", space, accuracy_column="top1")
    refuses(f"table {file}: no column 'mj' of numbers; it has acc, ms", f"table:{file}", space, extra_columns=["mj"])
    evaluator = make_evaluator(f"table:{file}", space)
    arch = space.parse("|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|")
    with pytest.raises(EvaluatorError) as caught:
        evaluator.evaluate(arch)
    assert str(caught.value) == f"table {file}: no row for the architecture {space.format(arch)}"
    wide = write(tmp_path / "w.csv", table_text("10", "930"))
    reason = "column 'acc' runs from 10 to 930; values must be fractions or percent"
    refuses(f"table {wide}: {reason}", f"table:{wide}", space)
    several = write(tmp_path / "s.csv", "arch,a_acc,b_acc,ms\nx,1,2,3\n")
    refuses(f"table {several}: choose the column of accuracy: a_acc, b_acc", f"table:{several}", space)
    none = write(tmp_path / "n.csv", "arch,a,ms\nx,1,2\n")
    refuses(f"table {none}: choose the column of accuracy: a, ms", f"table:{none}", space)


@pytest.mark.skipif(not REAL.is_file(), reason="the published NAS-Bench-201 numbers are not beside the checkout")
def test_isomorphic_cells_share_the_canonical_row() -> None:
    space = make_space("nasbench201")
    evaluator = make_evaluator(
        f"table:{REAL}", space, accuracy_column="cifar10_test_acc", extra_columns=["2080ti_1_latency_ms"]
    )
    texts = [
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|",
        "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_3x3~2|",
    ]
    found = [evaluator.evaluate(space.parse(text)) for text in texts]
    assert found[0].value == found[1].value
    assert 0.5 < found[0].value < 0.95
    assert found[0].extra_columns["2080ti_1_latency_ms"] > 0


def test_another_training_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    data = load_data("digits", limit=60)

    def evaluator(seed: int) -> Evaluator:
        return make_evaluator("supernet", cells(), data, epochs=1, batch_size=18, seed=seed, threads=1)

    evaluator(0).prepare(tmp_path)
    with pytest.raises(EvaluatorError) as caught:
        evaluator(1).prepare(tmp_path)
    file = tmp_path / "supernet.pt"
    assert str(caught.value) == (
        f"checkpoint {file}: belongs to seed 0, not 1; use another folder or remove it to train again"
    )


def test_importing_loads_no_torch() -> None:
    code = (
        "import sys, hwnas.data, hwnas.tasks, hwnas.training, hwnas.evaluators; "
        "print([m for m in ('torch', 'sklearn', 'PIL', 'onnxruntime', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"seed": -1}, "evaluator train: the seed must be a whole number of 0 or more, got -1"),
        ({"threads": 0}, "evaluator train: the threads must be a whole number of 1 or more, got 0"),
        ({"threads": 1.5}, "evaluator train: the threads must be a whole number of 1 or more, got 1.5"),
    ],
)
def test_impossible_seeds_and_threads_are_one_line(given: dict[str, object], line: str) -> None:
    with pytest.raises(EvaluatorError) as caught:
        make_evaluator("train", make_space("mobilenetv3", preset="tiny"), **given)  # type: ignore[arg-type]
    assert str(caught.value) == line

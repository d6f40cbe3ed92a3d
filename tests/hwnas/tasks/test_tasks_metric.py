"""Metrics: what people read and write, bounds, directions, uncertainty, and what files hold."""

import json
import math
from dataclasses import replace

import pytest

from hwnas import HwnasError, Metric
from hwnas.tasks import DEFAULT_METRIC, metric_named

MSE = Metric("mse", "min", unit="K", low=0.0)


def test_values_as_people_read_and_write_them():
    assert DEFAULT_METRIC.format(0.9306, 0.0134) == "93.06% ± 1.34%"
    assert MSE.format(0.01250) == "0.0125 K"
    assert Metric.of_score("naswot").format(123.456) == "123.5"
    assert DEFAULT_METRIC.parse("93.5%") == DEFAULT_METRIC.parse(" 0.935 ") == pytest.approx(0.935)
    assert MSE.parse("0.5 K") == MSE.parse("0.5") == 0.5
    for metric, text in ((DEFAULT_METRIC, "93"), (MSE, "-1"), (MSE, "nan"), (MSE, "much"), (DEFAULT_METRIC, "")):
        with pytest.raises(HwnasError, match=metric.name):
            metric.parse(text)
    assert [metric.label for metric in (DEFAULT_METRIC, MSE, Metric("iou"), Metric.of_score("naswot"))] == [
        "accuracy (%)",
        "MSE (K)",
        "IoU",
        "naswot (a score)",
    ]


def test_names_as_people_write_them():
    names = ["ap50", "mean_iou", "relative_l2", "f1_score", "accuracy", "halves_right"]
    written = ["AP50", "mean IoU", "relative L2", "F1 score", "accuracy", "halves right"]
    assert [Metric(name).text for name in names] == written
    assert Metric("mean_iou").title == "Mean IoU"


def test_a_precision_is_told_to_people_and_kept_in_files():
    int8 = replace(DEFAULT_METRIC, precision="int8")
    assert (int8.name, int8.text, int8.title, int8.label) == (
        "accuracy",
        "int8 accuracy",
        "Int8 accuracy",
        "int8 accuracy (%)",
    )
    assert int8.as_dict() == {**DEFAULT_METRIC.as_dict(), "precision": "int8"}
    assert Metric.from_dict(int8.as_dict()) == int8 != DEFAULT_METRIC
    for wrong in ("", "INT8", "a long line of text", 8):
        with pytest.raises(HwnasError, match="metric a: precision must be a short lower-case word or None, got"):
            Metric("a", precision=wrong)


def test_a_direction_says_what_is_best():
    assert (DEFAULT_METRIC.sign, DEFAULT_METRIC.best) == (1.0, 1.0)
    assert (MSE.sign, MSE.best) == (-1.0, 0.0)
    assert Metric("loss", "min").best is None


def test_uncertainty_is_known_of_shares_alone():
    assert DEFAULT_METRIC.standard_error(0.9, 400) == pytest.approx(math.sqrt(0.09 / 400))
    assert DEFAULT_METRIC.standard_error(1.0, 400) == pytest.approx(DEFAULT_METRIC.standard_error(0.0, 400))
    assert DEFAULT_METRIC.standard_error(0.9, None) is None
    assert MSE.standard_error(0.9, 400) is None


@pytest.mark.parametrize("metric", [DEFAULT_METRIC, MSE, Metric.of_score("naswot"), Metric("iou", high=1.0)])
def test_files_hold_metrics(metric):
    assert Metric.from_dict(json.loads(json.dumps(metric.as_dict()))) == metric


@pytest.mark.parametrize(
    "record",
    [
        *(None, {}, {"name": ""}, {"name": 3}, {"name": "x" * 65}),
        *({"name": "a", **bad} for bad in ({"direction": "up"}, {"low": math.inf}, {"low": True}, {"score": 1})),
        *({"name": "a", **bad} for bad in ({"low": 1.0, "high": 1.0}, {"unit": "\x1b"}, {"colour": "red"})),
        {"name": "a", "uncertainty": "guess"},
    ],
)
def test_what_is_no_metric_is_refused(record):
    with pytest.raises(ValueError, match="no metric"):
        Metric.from_dict(record)


def test_names_stand_for_metrics_of_ours_or_scores():
    assert metric_named("accuracy") == DEFAULT_METRIC
    assert metric_named("width") == Metric("width", score=True)


def test_a_value_out_of_bounds_is_one_line():
    with pytest.raises(HwnasError) as caught:
        DEFAULT_METRIC.require(93.0, "evaluator mine: arch")
    assert str(caught.value) == (
        "evaluator mine: arch: accuracy must be at least 0 and at most 1, got 93; divide percent by 100, or give "
        "another metric"
    )
    with pytest.raises(HwnasError, match=r"mse must be at least 0, got -1$"):
        MSE.require(-1.0, "evaluator mine")

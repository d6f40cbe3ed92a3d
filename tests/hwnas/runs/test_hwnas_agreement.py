"""How far predictions agree with measurements, in words."""

import pytest

from hwnas._runs._agreement import (
    QUANTILES,
    _speed_line,
    agreement,
    compared_latency,
    quantiles_of,
    slowness_of,
    statistic_of,
)


def network(predicted, q10, slowness=1.12, **more):
    """A network whose interval is 5 % wide to either side."""
    latency = {"predicted": predicted, "low": 0.95 * predicted, "high": 1.05 * predicted}
    latency |= {"measured": 1.1 * q10, "statistic": "median", "slowness": slowness, "slowness_half_width": 0.01}
    latency |= {"at_table_speed": {"q10": q10, "median": 1.1 * q10}, "raw": {"q10": slowness * q10}}
    return {"latency_ms": latency | more}


def test_the_sentence_tells_the_machine_from_the_predictions():
    networks = [network(1.0, 1.018) for _ in range(9)] + [network(1.0, 1.2)]
    assert agreement(networks) == (
        "this machine is now 12 % slower than when the table was made; at the table's speed, predictions are off by "
        "1.8 % in the median; the 90 % interval contains the measurement for 9 of 10 networks"
    )
    assert agreement(networks, "ssh://pi@board").startswith("ssh://pi@board is now 12 % slower than when the table was")
    assert agreement(networks, stored=True).startswith(
        "when they were measured, the machine was 12 % slower than when the table was made; at the table's speed, "
    )


def test_earlier_networks_are_compared_as_timed():
    latency = {"predicted": 1.0, "low": 0.9, "high": 1.1, "measured": 1.25}
    assert agreement([{"latency_ms": latency}]) == (
        "predictions are off by 20 % in the median from the times as measured (the machine's speed is not known); the "
        "90 % interval contains the measurement for 0 of 1 networks"
    )
    without = latency | {"low": None, "high": None}
    assert agreement([{"latency_ms": without}]) == (
        "predictions are off by 20 % in the median from the times as measured (the machine's speed is not known)"
    )
    assert agreement([{"latency_ms": latency | {"measured": None}}]) is None
    assert agreement([]) is None


def test_another_statistic_is_not_compared_with_a_q10():
    latency = {"predicted": 1.0, "low": 0.9, "high": 1.1, "measured": 1.25, "statistic": "p99"}
    assert compared_latency(latency) is None
    assert statistic_of(latency) == "p99"
    assert statistic_of({"statistic": ["p99"]}) == statistic_of({}) == "q10"


@pytest.mark.parametrize(
    ("slowness", "half_width", "text"),
    [
        (1.12, 0.01, "12 % slower than"),
        (2.5, None, "150 % slower than"),
        (1.012, 0.004, "1.2 % slower than"),
        (0.8, 0.01, "25 % faster than"),
        (1.012, 0.02, "as fast as when the table was made (within 2 %)"),
        (1.0, None, "as fast as when the table was made"),
    ],
)
def test_the_speed_of_the_machine_in_words(slowness, half_width, text):
    assert text in _speed_line([(slowness, half_width)])


def test_values_that_a_file_should_not_hold_are_left_out():
    wrong = {"q10": True, "median": "1", "p90": float("nan"), "p99": 10**400}
    assert quantiles_of({"raw": wrong, "measured": 1.0}, "raw") == {}
    assert slowness_of({"slowness": 0}) is None
    assert slowness_of({"slowness": 1.1, "slowness_half_width": -1}) == (1.1, None)


def test_all_places_know_the_same_statistics():
    from hwnas._deploy import predict
    from hwnas._runs._options import LATENCY_STATISTICS
    from profilers import STATISTICS

    assert tuple(STATISTICS) == tuple(predict.STATISTICS) == QUANTILES == LATENCY_STATISTICS
    assert dict(STATISTICS) == predict.STATISTICS

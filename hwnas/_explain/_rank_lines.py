"""A ranking in words."""

from __future__ import annotations

from collections.abc import Mapping

from hwnas._costs._units import written_latency
from hwnas._explain._ranking import Difference, RankedFile, Ranking
from hwnas._explain._texts import device_facts
from hwnas._runs._compare import aligned
from hwnas._tables._references import percent_text


def heads_of(ranking: Ranking) -> list[str]:
    """Return the heads of the table."""
    scored = ranking.files[0].score is not None
    statistics = [name for name in ranking.files[0].quantiles_ms if name != ranking.statistic]
    heads = ["file", "place", f"{ranking.statistic} (ms)", "90 % interval", *statistics]
    return [*heads, *(["budget"] if ranking.budget_ms is not None else []), *(["score", "front"] if scored else [])]


def row_of(ranking: Ranking, file: RankedFile) -> list[str]:
    """Return a file's cells."""
    cells = [file.name, str(file.place), f"{file.latency_ms:.4g}", f"{file.low_ms:.4g}-{file.high_ms:.4g}"]
    cells += [f"{ms:.4g}" for name, ms in file.quantiles_ms.items() if name != ranking.statistic]
    if ranking.budget_ms is not None:
        cells.append(budget_text(file))
    if file.score is not None:
        cells += [f"{file.score:g}", "yes" if file.on_front else "no"]
    return cells


def budget_text(file: RankedFile) -> str:
    """Return whether a file keeps the budget, and whether that is certain."""
    return f"{'keeps' if file.keeps_budget else 'exceeds'}{'' if file.budget_certain else ' (just)'}"


def ranking_lines(ranking: Ranking) -> list[str]:
    """Return a ranking as lines for a terminal."""
    rows = [heads_of(ranking), *(row_of(ranking, file) for file in ranking.files)]
    return [*aligned(rows), *explaining_lines(ranking)]


def explaining_lines(ranking: Ranking) -> list[str]:
    """Return what the numbers mean: which files are equal, the budget, the front, the noise floor, the device."""
    return [
        *_difference_lines(ranking),
        *_budget_lines(ranking),
        *_front_lines(ranking),
        f"noise floor {percent_text(ranking.noise_floor)}: two sessions of one file differ by so much in the median",
        _device_line(ranking.identity, ranking.rounds),
        *(f"warning: {note}" for note in ranking.notes),
    ]


def _difference_lines(ranking: Ranking) -> list[str]:
    """Return a line for each place that several files share, and one for each step between places."""
    pairs = {(d.faster, d.slower): d for d in ranking.differences}
    places: dict[int, list[str]] = {}
    for file in ranking.files:
        places.setdefault(file.place, []).append(file.name)
    lines = []
    for number, names in places.items():
        if number > 1:
            before = places[number - 1]
            lines.append(_step_line(pairs[before[0], names[0]]))
            unclear = [a for a in before[1:] if not pairs[a, names[0]].real]
            lines += [f"{names[0]} cannot be told apart from {_listed(unclear)}, either"] if unclear else []
        if len(names) > 1:
            lines.append(f"{_listed(names)} cannot be told apart: their latencies count as equal")
    return lines


def _step_line(difference: Difference) -> str:
    if difference.ratio >= 2:
        interval = f"{difference.low:.3g} to {difference.high:.3g} times"
        return f"{difference.slower} takes {difference.ratio:.3g} times as long as {difference.faster} ({interval})"
    more, low, high = (percent_text(ratio - 1) for ratio in (difference.ratio, difference.low, difference.high))
    return f"{difference.slower} takes {more} longer than {difference.faster} ({low} to {high})"


def _budget_lines(ranking: Ranking) -> list[str]:
    if ranking.budget_ms is None:
        return []
    kept = sum(bool(file.keeps_budget) for file in ranking.files)
    line = f"{kept} of {len(ranking.files)} files keep the budget of {written_latency(ranking.budget_ms)}"
    unclear = [file.name for file in ranking.files if not file.budget_certain]
    return [line, *([f"{_listed(unclear)}: the budget is within the interval (just)"] if unclear else [])]


def _front_lines(ranking: Ranking) -> list[str]:
    if ranking.files[0].score is None:
        return []
    front = [f"{file.name} ({file.score:g}, {written_latency(file.latency_ms)})" for file in ranking.front]
    return [f"front of score and latency: {', '.join(front) or 'empty'}"]


def _device_line(identity: Mapping[str, object], rounds: int) -> str:
    device, threads, runtime = device_facts(identity)
    return f"{device}, {threads}, {runtime or 'an unnamed runtime'}, {rounds} rounds"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

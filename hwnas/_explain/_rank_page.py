"""The page of a ranking."""

from __future__ import annotations

from pathlib import Path

from hwnas._common._write import write_file
from hwnas._explain._pictures import Scale, interval_bar
from hwnas._explain._rank_lines import explaining_lines, heads_of, row_of
from hwnas._explain._ranking import RankedFile, Ranking
from hwnas._explain._scatter import scatter
from hwnas._report._html import asset, escape, page


def write_ranking(ranking: Ranking, path: Path) -> None:
    """Write a ranking as a self-contained HTML page.

    Raises:
        HwnasError: The file cannot be written.
    """
    write_file(path, ranking_page(ranking))


def ranking_page(ranking: Ranking) -> str:
    """Return the page."""
    lines = "".join(f"<li>{escape(line)}</li>" for line in explaining_lines(ranking))
    parts = ["<h1>hwnas: ranking of models</h1>", _table(ranking), f"<ul class=lines>{lines}</ul>", _front(ranking)]
    return page("ranking of models", "\n".join(part for part in parts if part), "", asset("explain.css", __file__))


def _table(ranking: Ranking) -> str:
    heads, scale = heads_of(ranking), Scale(0.0, max(file.high_ms for file in ranking.files))
    head = f"<th>{escape(heads[0])}</th><th class='text bars'>latency</th>"
    head += "".join(f"<th>{escape(name)}</th>" for name in heads[1:])
    return f"<div class=wide><table><thead><tr>{head}</tr></thead>{_rows(ranking, scale)}</table></div>"


def _rows(ranking: Ranking, scale: Scale) -> str:
    rows = ""
    for file in ranking.files:
        first, *rest = row_of(ranking, file)
        over = " class=over" if file.keeps_budget is False else ""
        bar = interval_bar(file.latency_ms, file.low_ms, file.high_ms, scale, ranking.budget_ms)
        rows += f"<tr{over}><td class=text>{escape(first)}</td><td class=bars>{bar}</td>"
        rows += "".join(f"<td>{escape(cell)}</td>" for cell in rest) + "</tr>"
    return rows


def _front(ranking: Ranking) -> str:
    if ranking.files[0].score is None:
        return ""
    points = [(file.latency_ms, file.score or 0.0, _label(file), bool(file.on_front)) for file in ranking.files]
    names = dict(enumerate(file.name for file in ranking.files))
    picture = scatter(points, f"{ranking.statistic} latency (ms)", "score", upright=ranking.budget_ms, named=names)
    note = "Orange: the front of score and latency. The line upwards is the budget, where there is one."
    return f"<h2>Score and latency</h2>{picture}<p class=note>{note}</p>"


def _label(file: RankedFile) -> str:
    return f"{file.name}: {file.score:g}, {file.latency_ms:.4g} ms"

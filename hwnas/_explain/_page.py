"""The page of an explanation: where the time goes, the memory, the device's limits, and what would change the total."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from hwnas._common._write import write_file
from hwnas._explain._pictures import Scale, area, interval_bar
from hwnas._explain._scatter import scatter
from hwnas._explain._texts import (
    Block,
    amount,
    blocks_of,
    bytes_text,
    bytes_unit,
    ms_text,
    reasons_text,
    shape_text,
    summary,
    verdict,
)
from hwnas._report._html import asset, escape, page
from hwnas._tables._references import percent_text
from profilers import ExplainedNode, Explanation

_HEADS = (
    *("#", "node", "op", "ms", "90 % interval", "share", "MACs", "GMAC/s", "of best", "read", "written"),
    *("MACs a byte", "why it is slow"),
)
_TEXTS = ("node", "op", "why it is slow", "change", "it is")
"""Columns of text, which begin at the left."""


def write_html(explanation: Explanation, path: str | Path) -> None:
    """Write an explanation as a self-contained HTML page.

    Args:
        explanation: The explanation.
        path: The file to write.

    Raises:
        HwnasError: The file cannot be written.
    """
    write_file(path, explanation_page(explanation))


def explanation_page(explanation: Explanation) -> str:
    """Return the page."""
    parts = [
        f"<h1>{escape(explanation.model)}: where the time goes</h1>",
        *(f"<p>{escape(sentence)}</p>" for sentence in summary(explanation)),
        *(f"<p class=note>{escape(note)}</p>" for note in explanation.notes),
        _changes(explanation),
        _blocks(explanation),
        "<h2>Time of each node</h2>",
        _bars(explanation, explanation.rows),
        _limits(explanation),
        _memory(explanation),
        "<h2>Every node</h2>",
        _table(explanation),
        "<h2>Device and runtime</h2>",
        _identity(explanation),
    ]
    script, style = asset("explain.js", __file__), asset("explain.css", __file__)
    return page(explanation.model, "\n".join(part for part in parts if part), script, style)


def _changes(explanation: Explanation) -> str:
    if not explanation.changes:
        return ""
    rows = ""
    for change in explanation.changes:
        gain = change.gain_ms / (change.total_ms + change.gain_ms)
        cells = [ms_text(change.total_ms), ms_text(change.gain_ms), f"{ms_text(change.low_ms)} to "]
        cells[-1] += ms_text(change.high_ms)
        rows += f"<tr><td class=reason>{escape(change.text)}</td>"
        rows += "".join(f"<td>{escape(cell)}</td>" for cell in [*cells, percent_text(gain)])
        rows += f"<td class=text>{escape(verdict(change))}</td></tr>"
    heads = ("change", "total", "gain", "90 % interval of the gain", "gain, relative", "it is")
    return (
        "<h2>What would change the total</h2>"
        "<p class=note>Measured: the whole network with each change, beside the unchanged network in the same rounds. "
        "Only the time was measured; what a change does to the accuracy is for you to test.</p>"
        f"<div class=wide><table><thead><tr>{_heads(heads)}</tr></thead>{rows}</table></div>"
    )


def _heads(names: Sequence[str]) -> str:
    return "".join(f"<th{' class=text' if name in _TEXTS else ''}>{escape(name)}</th>" for name in names)


def _blocks(explanation: Explanation) -> str:
    blocks = blocks_of(explanation.rows)
    if len(blocks) in (1, len(explanation.rows)):
        return ""
    return f"<h2>Time of each block</h2>{_bars(explanation, blocks)}"


def _bars(explanation: Explanation, rows: Sequence[ExplainedNode | Block]) -> str:
    """Return a bar for each node or block, in the order of execution; the script can sort them."""
    scale = Scale(0.0, max((row.high_ms for row in rows), default=1.0) or 1.0)
    items = ""
    for row in rows:
        name, about = (
            (row.name, f"{row.nodes} node{'' if row.nodes == 1 else 's'}")
            if isinstance(row, Block)
            else (row.node, row.op)
        )
        items += (
            f"<li data-ms='{row.ms:.6g}'><span class=what>{escape(name)}<small>{escape(about)}</small></span>"
            f"{interval_bar(row.ms, row.low_ms, row.high_ms, scale)}"
            f"<span class=number>{escape(ms_text(row.ms))}</span>"
            f"<span class=number>{escape(percent_text(row.ms / explanation.total_ms))}</span></li>"
        )
    return f"<ol class=times>{items}</ol>"


def _limits(explanation: Explanation) -> str:
    """Return arithmetic intensity against speed, below what the device reaches.

    Nodes that have no speed to speak of (`ExplainedNode.has_speed`) are left out.
    """
    total, best = explanation.total_ms, explanation.best_gmacs_per_s
    rows = [row for row in explanation.rows if row.has_speed(total)]
    if not rows:
        return ""
    points = [
        (
            row.intensity,
            row.gmacs_per_s,
            f"{row.node}: {row.op}, {ms_text(row.ms)}, {reasons_text(row)}",
            bool(row.reasons),
        )
        for row in rows
    ]
    sizes = [3.0 + 22.0 * math.sqrt(max(0.0, row.ms) / total) for row in rows]
    moved = max((row.read_bytes + row.written_bytes) / row.ms / 1e6 for row in rows)  # GB/s
    slowest = sorted(range(len(rows)), key=lambda i: -rows[i].ms)[:3]
    picture = scatter(
        points,
        "multiply-accumulates for each byte read or written",
        "GMAC/s",
        log=True,
        roof=best if best > 0 else None,
        slope=moved if moved > 0 else None,
        sizes=sizes,
        named={i: rows[i].node for i in slowest},
    )
    return (
        "<h2>How close each node is to the device's limits</h2>"
        f"{picture}<p class=note>Each circle is a node that takes 1 % or more of the total; its area is its time. "
        "Orange nodes are slow for a reason in the table. The horizontal line is this device's best: the fastest of "
        f"these nodes and of a large 3x3 convolution ({escape(f'{best:.3g}')} GMAC/s). The slanted line is the highest "
        f"memory rate of any of these nodes ({escape(f'{moved:.3g}')} GB/s).</p>"
    )


def _memory(explanation: Explanation) -> str:
    live = explanation.live_bytes
    if not live or len(live) != len(explanation.rows):
        return ""
    peak = max(live)
    unit, size = bytes_unit(peak)
    texts = [f"{row.node}: {bytes_text(size_of)}" for row, size_of in zip(explanation.rows, live, strict=True)]
    picture = area([value / size for value in live], texts, unit, "Bytes of tensors alive while each node runs")
    return (
        f"<h2>Memory over time</h2>{picture}<p class=note>Tensors that are alive while each node runs, weights left "
        f"out: {escape(bytes_text(peak))} at most.</p>"
    )


def _table(explanation: Explanation) -> str:
    rows = "".join(
        f"<tr><td>{number}</td>{''.join(_cells(explanation, row))}</tr>"
        for number, row in enumerate(explanation.rows, 1)
    )
    return f"<div class=wide><table><thead><tr>{_heads(_HEADS)}</tr></thead>{rows}</table></div>"


def _cells(explanation: Explanation, row: ExplainedNode) -> list[str]:
    """Return a node's cells after its number."""
    speed, best = row.gmacs_per_s, explanation.best_gmacs_per_s
    known = row.macs > 0 and math.isfinite(speed)
    texts = [
        f"{row.ms:.4g}",
        f"{row.low_ms:.3g} to {row.high_ms:.3g}",
        percent_text(row.ms / explanation.total_ms),
        amount(row.macs) if row.macs else "-",
        f"{speed:.3g}" if known else "-",
        percent_text(speed / best) if known and best > 0 else "-",
        bytes_text(row.read_bytes),
        bytes_text(row.written_bytes),
        f"{row.intensity:.3g}" if row.macs else "-",
    ]
    fused = f"<br><small>{escape(shape_text(row))}</small>"
    return [
        f"<td class=node>{escape(row.node)}{fused}</td><td class=text>{escape(row.op)}</td>",
        *(f"<td>{escape(text)}</td>" for text in texts),
        f"<td class=reason>{escape(reasons_text(row))}</td>",
    ]


_OF_TABLES = ("batch", "dtype")
"""Parts of an identity that say how tables are measured; a model's inputs have shapes and types of their own."""


def _identity(explanation: Explanation) -> str:
    device = {name: value for name, value in explanation.identity.items() if name not in _OF_TABLES}
    facts = {"file": explanation.model, "sha256": explanation.sha256, **device}
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(_fact(v))}</dd>" for k, v in facts.items()) + "</dl>"


def _fact(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)

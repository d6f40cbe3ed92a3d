"""The table of an explanation in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from profilers import ExplainedNode, Explanation

_SHOWN = 25
"""Rows that are shown; the others together make one line."""
_NAME = 44


def explained_lines(explanation: Explanation) -> Iterator[str]:
    """Yield the lines of the table: the most expensive nodes, their reasons, and what is left."""
    from hwnas._explain._texts import bytes_text
    from profilers import REASONS

    total, best = explanation.total_ms, explanation.best_gmacs_per_s
    width = (explanation.total_high_ms - explanation.total_low_ms) / 2
    yield (
        f"{explanation.model}: {total:.4g} ms +- {width:.2g} ms; {len(explanation.rows)} rows; "
        f"this device reaches {best:.3g} GMAC/s at best"
    )
    ordered = sorted(explanation.rows, key=lambda row: -row.ms)
    longest = min(_NAME, max((len(row.node) for row in ordered[:_SHOWN]), default=4))
    yield f"{'node':{longest}s} {'op':24s} {'ms':>9s} {'+-':>8s} {'share':>6s} {'MMACs':>8s} {'GMAC/s':>7s}  why"
    for row in ordered[:_SHOWN]:
        yield _row_line(row, total, longest)
    rest = ordered[_SHOWN:]
    if rest:
        ms = sum(row.ms for row in rest)
        yield f"{f'{len(rest)} more':{longest}s} {'':24s} {ms:9.4f} {'':8s} {ms / total:6.1%}"
    left = explanation.unexplained_ms
    yield f"{'total - rows':{longest}s} {'':24s} {left:9.4f} {'':8s} {left / total:6.1%}"
    yield from _block_lines(explanation)
    used = {reason for row in ordered[:_SHOWN] for reason in row.reasons}
    yield from (f"{reason}: {text}" for reason, text in REASONS.items() if reason in used)
    yield from _change_lines(explanation)
    peak = bytes_text(max(explanation.live_bytes, default=0))
    yield f"noise floor {explanation.noise_floor:.2%}; {explanation.rounds} rounds; live tensors take at most {peak}"
    yield from explanation.notes


def _row_line(row: ExplainedNode, total: float, longest: int) -> str:
    rate = f"{row.gmacs_per_s:7.1f}" if row.macs and row.ms > 0 else " " * 7
    macs = f"{row.macs / 1e6:8.2f}" if row.macs else " " * 8
    half = (row.high_ms - row.low_ms) / 2
    name = row.node if len(row.node) <= longest else "..." + row.node[3 - longest :]
    share = f"{row.ms / total:6.1%}"
    line = (
        f"{name:{longest}s} {row.op[:24]:24s} {row.ms:9.4f} {half:8.4f} {share} {macs} {rate}  {', '.join(row.reasons)}"
    )
    return line.rstrip()


def _change_lines(explanation: Explanation) -> Iterator[str]:
    """Yield what would change the total: the largest gain first, with its 90 % interval."""
    if not explanation.changes:
        return
    from hwnas._explain._texts import verdict

    texts = [change.text for change in explanation.changes]
    longest = max(map(len, texts))
    yield f"{'what would change the total':{longest}s} {'ms':>9s} {'gain':>9s}  {'90 % interval':18s}"
    for change in explanation.changes:
        interval = f"{change.low_ms:.4f} to {change.high_ms:.4f}"
        times = f"{change.total_ms:9.4f} {change.gain_ms:9.4f}  {interval:18s}"
        yield f"{change.text:{longest}s} {times}  {verdict(change)}"


def _block_lines(explanation: Explanation) -> Iterator[str]:
    """Yield one line with the most expensive blocks."""
    from hwnas._explain._texts import blocks_of

    blocks = blocks_of(row for row in explanation.rows if row.block)
    if len(blocks) > 1:
        largest = sorted(blocks, key=lambda block: -block.ms)[:6]
        yield "blocks: " + ", ".join(f"{block.name} {block.ms:.3g} ms" for block in largest)

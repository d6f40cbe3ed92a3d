"""What ONNX files of one's own cost: `rank`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hwnas._api._given import quiet, require_file
from hwnas._costs._cost import LATENCY, bound_of
from hwnas._devices._make import make_backend
from hwnas._errors import HwnasError
from hwnas._explain._rank import rank_files
from hwnas._explain._ranking import Ranking
from hwnas._explain._scores import read_scores
from hwnas._runs._options import DEFAULT_STATISTIC, LATENCY_STATISTICS


def rank(
    files: Sequence[str | Path],
    *,
    budget: float | str | None = None,
    accuracy: str | Path | None = None,
    threads: int = 1,
    latency_statistic: str | None = None,
    out: str | Path | None = None,
    progress: Callable[[str], None] = quiet,
) -> Ranking:
    """Measure several ONNX files in the same rounds, as ``hwnas rank`` does.

    Args:
        files: ONNX files with inputs of numbers; dynamic batch axes are measured as 1.
        budget: Upper bound of the latency: milliseconds, or text like ``"4ms"``; None for none.
        accuracy: CSV file with the columns ``file`` and ``score``, higher is better; None for none.
        threads: CPU threads inside an operator.
        latency_statistic: ``"q10"``, ``"median"``, ``"p90"`` or ``"p99"``; None for the median.
        out: HTML page to write; None for none.
        progress: Receives progress lines.

    Returns:
        The files, the fastest first, with intervals, and which differences are real.

    Raises:
        HwnasError, ProfilerError: A file or an option cannot be used (one line each, see `Errors`).
    """
    statistic = latency_statistic or DEFAULT_STATISTIC
    if statistic not in LATENCY_STATISTICS:
        raise HwnasError(f"--latency-statistic must be one of {', '.join(LATENCY_STATISTICS)}, got {statistic!r}")
    if isinstance(files, (str, Path)):
        raise HwnasError(f"files must be several paths, got {str(files)!r}; write [{str(files)!r}]")
    require_file(out)
    if out is not None and Path(out).suffix != ".html":
        raise HwnasError(f"cannot write {out}: give a name that ends in .html")
    paths = [Path(file) for file in files]
    budget_ms = None if budget is None else bound_of(LATENCY, budget)
    scores = None if accuracy is None else read_scores(accuracy, paths)
    backend = make_backend("cpu", threads=threads)
    ranking = rank_files(
        paths,
        backend,
        threads=threads,
        statistic=statistic,
        budget_ms=budget_ms,
        scores=scores,
        progress=progress,
    )
    if out is not None:
        from hwnas._explain._rank_page import write_ranking

        write_ranking(ranking, Path(out))
    return ranking

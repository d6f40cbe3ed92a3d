"""Changes measured beside the unchanged network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx

from hwnas._devices._make import make_backend
from hwnas._explain._changes._graph import simplified
from hwnas._explain._changes._proposal import Maker, NotPossibleError, Proposal, Subject
from hwnas._explain._changes._registry import MAKERS
from hwnas._explain._inputs import ModelError
from hwnas._explain._paired import ROUNDS, Z90, Paired, Rounds, plain_timer, time_rounds
from hwnas._explain._sessions import Turns, open_session
from profilers import (
    Change,
    Explanation,
    Runnable,
    TextProgress,
    block_channels,
    draw_inputs,
    fix_shapes,
    second_pass_name,
)

_UNCHANGED = "unchanged"
_STATISTIC = "q10"
"""What explanations state."""
_PROCESS = "process"
"""Name of the threads that sessions of the process share."""


def with_changes(
    model: onnx.ModelProto,
    explanation: Explanation,
    *,
    threads: int,
    shapes: Mapping[str, Sequence[int]] | None = None,
    numbers: Mapping[str, float] | None = None,
    progress: TextProgress = lambda text: None,
    rounds: int = ROUNDS,
    makers: Mapping[str, Maker] = MAKERS,
) -> Explanation:
    """Return an explanation with what would change the latency, and with a note on each change that cannot be measured.

    Args:
        model: The model, with all its data.
        explanation: Where its time goes; tells the processor.
        threads: Threads that it was measured with.
        shapes: Shapes of inputs by name, as it was measured with.
        numbers: Numbers to fill inputs with, by name, as it was measured with.
        progress: Receives the notes and what is measured.
        rounds: Most rounds.
        makers: What makes the changes.

    Returns:
        The explanation; its changes are sorted, the largest gain first.

    Raises:
        ModelError: ONNX Runtime cannot execute the unchanged model.
    """
    notes: list[str] = []

    def note(text: str) -> None:
        """Keep and tell what is not tried."""
        notes.append(f"not tried: {text}")
        progress(notes[-1])

    subject = _subject(fix_shapes(model, shapes or {}), explanation, threads)
    proposals = _proposals(subject, makers, note)
    backend = make_backend("cpu", threads=threads)
    sessions, kept = _sessions(subject, proposals, numbers or {}, note)
    changes: tuple[Change, ...] = ()
    if kept:
        progress(f"measuring {len(kept)} changes beside the unchanged network")
        changes = changes_of(time_rounds(plain_timer(backend), sessions, rounds), kept)
    return replace(explanation, changes=changes, notes=(*explanation.notes, *notes))


def _subject(static: onnx.ModelProto, explanation: Explanation, threads: int) -> Subject:
    return Subject(static, simplified(static), explanation, threads, block_channels())


def _proposals(subject: Subject, makers: Mapping[str, Maker], note: TextProgress) -> list[Proposal]:
    proposals: list[Proposal] = []
    for name, make in makers.items():
        try:
            proposals += make(subject)
        except NotPossibleError as error:
            note(f"{name}: {error}")
    return proposals


def _sessions(
    subject: Subject, proposals: list[Proposal], numbers: Mapping[str, float], note: TextProgress
) -> tuple[dict[str, Runnable], list[Proposal]]:
    """Load the unchanged network twice and each changed one once; return what could be loaded."""
    turns, unchanged = Turns(), subject.model.SerializeToString()
    sessions: dict[str, Runnable] = {}
    for seed, name in enumerate((_UNCHANGED, second_pass_name(_UNCHANGED))):
        inputs = draw_inputs(subject.model, numbers, seed)
        session = open_session(unchanged, inputs, threads=subject.threads, name=subject.explanation.model)
        sessions[name] = turns.taking(session, _PROCESS, subject.threads)
    kept: list[Proposal] = []
    for proposal in proposals:
        own, threads = proposal.threads is not None, proposal.threads or subject.threads
        try:
            session = open_session(proposal.model, inputs, threads=threads, name=proposal.name, own_threads=own)
        except ModelError as error:
            note(str(error))
            continue
        pool = f"{_PROCESS} {len(kept)}" if own else _PROCESS
        sessions[str(len(kept))] = turns.taking(session, pool, threads)
        kept.append(proposal)
    return sessions, kept


def changes_of(rounds: Rounds, proposals: list[Proposal]) -> tuple[Change, ...]:
    """Return what the samples say of each change, the largest gain first.

    Args:
        rounds: Samples of the unchanged network (two sessions) and of the changed ones, by number.
        proposals: The changes.
    """
    paired = Paired(rounds, [_UNCHANGED, *(str(i) for i in range(len(proposals)))], _STATISTIC)
    base_ms = 1e3 * math.exp(paired.logs[0])
    changes = []
    for number, proposal in enumerate(proposals, 1):
        log, half = float(paired.logs[number] - paired.logs[0]), Z90 * paired.difference_sd(0, number)
        # gain = base (1 - r) with r = changed / base; its interval from that of log r
        gain, low, high = (base_ms * -math.expm1(log + shift) for shift in (0.0, half, -half))
        changes.append(Change(proposal.name, proposal.text, proposal.nodes, base_ms - gain, gain, low, high))
    return tuple(sorted(changes, key=lambda change: -change.gain_ms))

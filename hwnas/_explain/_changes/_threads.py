"""Other numbers of threads."""

from __future__ import annotations

from hwnas._explain._changes._proposal import NotPossibleError, Proposal, Subject
from profilers import usable_cores


def other_threads(subject: Subject) -> list[Proposal]:
    """Return the unchanged network with 1, 2, 4, ... threads, up to the usable cores.

    Raises:
        NotPossibleError: There is one usable core.
    """
    most = usable_cores()
    counts = {min(2**power, most) for power in range(most.bit_length() + 1)} - {subject.threads}
    if not counts:
        raise NotPossibleError("there is one usable core")
    model = subject.model.SerializeToString()
    return [Proposal("threads", f"{_count(n)} instead of {subject.threads}", (), model, n) for n in sorted(counts)]


def _count(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"

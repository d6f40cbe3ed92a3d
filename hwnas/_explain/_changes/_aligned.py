"""Convolutions whose channels are not a multiple of the runtime's block, rounded up and down."""

from __future__ import annotations

from collections.abc import Callable

from hwnas._explain._changes._channels import ConflictError, Rewriting
from hwnas._explain._changes._graph import Net
from hwnas._explain._changes._proposal import NotPossibleError, Proposal, Subject


def aligned_channels(subject: Subject) -> list[Proposal]:
    """Return the network with channels rounded up to the runtime's block, and down.

    Rounded up, the new channels are zeros that nothing reads, so the results stay; rounded down, channels are cut off.

    Raises:
        NotPossibleError: There is nothing to round, or no convolution whose readers can follow.
    """
    block = subject.block
    net = Net(subject.simplified)
    if net.has_subgraphs:
        raise NotPossibleError("channels of graphs with subgraphs (If, Loop, Scan) are not rounded")
    rounders: dict[str, Callable[[int], int]] = {
        "up": lambda count: -(-count // block) * block,
        "down": lambda count: count // block * block or count,
    }
    if not any(Rewriting(net, rounders["up"], set()).unaligned()):
        raise NotPossibleError(f"the channels of every convolution are multiples of {block}")
    proposals = []
    for way, rounded in rounders.items():
        made = _rewritten(subject, rounded)
        if made is None:
            continue
        model, names = made
        same = "padded with zeros: the same results" if way == "up" else "cut off"
        text = f"channels of {len(names)} convolution{'s' if len(names) > 1 else ''} rounded {way} to multiples of "
        proposals.append(Proposal("aligned", f"{text}{block} ({same})", names, model))
    if not proposals:
        raise NotPossibleError("what reads the unaligned convolutions does not follow a change of their channels")
    return proposals


def _rewritten(subject: Subject, rounded: Callable[[int], int]) -> tuple[bytes, tuple[str, ...]] | None:
    """Return the model with rounded channels and the convolutions that changed; None where none can.

    A convolution whose change reaches something that cannot follow keeps its channels, and all is tried again.
    """
    kept: set[str] = set()
    while True:
        net = Net(subject.simplified)
        rewriting = Rewriting(net, rounded, kept)
        try:
            rewriting.run()
        except ConflictError as conflict:
            kept |= conflict.origins
            continue
        return (net.finished(), tuple(rewriting.changed)) if rewriting.changed else None

"""What names of recordings tell without being asked: that one speaker, it seems, is in the train and the test part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from hwnas._common._text import first_of
from hwnas.data._names import shown
from hwnas.data._recordings import parts_of_name
from hwnas.data._splits import Indices

_WORDS = frozenset({"subject", "sub", "speaker", "spk", "user", "person", "patient", "id", "session", "machine"})
"""Numbers behind these words name somebody; other numbers count takes."""
_SHOWN = 3


def shared_note(names: Sequence[str], labels: Indices | None, parts: Mapping[str, Indices]) -> list[str]:
    """Return a note if names of train and test recordings have a part in common that could be a speaker.

    Such a part stands at the same place between ``_`` in all names, has at least two values, each of which names two
    recordings on average, and is not a matter of the class.

    Args:
        names: Paths of all recordings within the data set.
        labels: Class of each; None where it has none of its own.
        parts: Recordings of each part.
    """
    pieces = [parts_of_name(name) for name in names]
    for place in range(min(map(len, pieces), default=0)):
        values = [piece[place] for piece in pieces]
        if 2 <= len(set(values)) <= len(values) / 2 and _names_somebody(pieces, place) and _crosses(values, labels):
            shared = sorted({values[i] for i in parts["train"]} & {values[i] for i in parts["test"]})
            if shared:
                number = place + 1
                return [
                    f"train and test recordings share part {number} of their names "
                    f"({first_of([shown(value) for value in shared], _SHOWN)}); if it names speakers or subjects, give "
                    f"--split-by {number} to keep each in one part"
                ]
    return []


def _names_somebody(pieces: Sequence[Sequence[str]], place: int) -> bool:
    if any(not piece[place].isdecimal() for piece in pieces):
        return True
    return place > 0 and all(piece[place - 1].lower() in _WORDS for piece in pieces)


def _crosses(values: Sequence[str], labels: Indices | None) -> bool:
    """Return whether a value names recordings of several classes: others are classes, or parts of classes."""
    if labels is None:
        return True
    classes: defaultdict[str, set[int]] = defaultdict(set)
    for value, label in zip(values, labels.tolist(), strict=True):
        classes[value].add(label)
    return any(len(of_value) > 1 for of_value in classes.values())

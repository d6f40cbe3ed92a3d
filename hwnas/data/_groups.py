"""Which recordings are for training, validation and test: whole recordings, or whole groups of them (subjects)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hwnas._common._text import first_of
from hwnas._errors import DataError
from hwnas.data._name_parts import shared_note
from hwnas.data._names import shown
from hwnas.data._recordings import group_in_name, parts_of_name
from hwnas.data._signal_data import SignalSource
from hwnas.data._splits import Indices, Missing, missing_parts, split_any, split_off

PARTS = ("train", "validation", "test")
_SHOWN = 8
"""How many groups an error or a note names."""


class Division(NamedTuple):
    """Which recordings are in which part.

    Attributes:
        parts: Recordings of each part.
        test_chosen: How those of the test part were chosen: ``given``, ``drawn`` or ``held out``.
    """

    parts: dict[str, Indices]
    test_chosen: str


def divide(name: str, source: SignalSource, hold_out: Sequence[str], seed: int) -> Division:
    """Divide recordings into parts; no recording and no group is in two parts.

    A missing test part is the same for every seed, a missing validation part follows from `seed`. If groups are known
    and one lies in two parts of the source, or some are held out, all recordings are divided anew.

    Args:
        name: The data set's, for error messages.
        source: The recordings.
        hold_out: Groups that are the test part; empty to leave that open.
        seed: Decides the validation part.

    Raises:
        DataError: There are too few recordings or groups, or a group is unknown.
    """
    if hold_out and source.groups is None:
        raise DataError(f"data {shown(name)}: --hold-out names groups of recordings; say with --split-by what they are")
    chosen = {part: np.flatnonzero(source.parts == part) for part in PARTS}
    chosen = {part: indices for part, indices in chosen.items() if len(indices)}
    if source.groups is not None and (hold_out or _overlap(source.groups, source.parts)):
        if len(chosen) > 1:
            source.notes.append(
                f"the folders or arrays of the parts ({', '.join(chosen)}) are put together and divided anew by group"
            )
        chosen = {"train": np.arange(len(source.parts))}
    if "train" not in chosen:
        raise DataError(f"data {shown(name)}: holds no recordings for the train part; add some")
    test_chosen = "held out" if hold_out else "given" if "test" in chosen else "drawn"
    if source.groups is None:
        divided = _by_recording(name, source, chosen, seed)
        source.notes.extend(shared_note(source.names, source.labels, divided))
        return Division(divided, test_chosen)
    if hold_out:
        held = _held_out(name, source.groups, hold_out)
        chosen = {"train": np.flatnonzero(~held), "test": np.flatnonzero(held)}
    for each in missing_parts(chosen, seed):
        chosen["train"], chosen[each.part] = _split_groups(name, source.groups, chosen["train"], each)
    _require_all_classes(name, source, chosen["train"])
    for part in ("validation", "test"):
        names = sorted(set(source.groups[chosen[part]]))
        source.notes.append(f"the {part} part is {first_of([shown(group) for group in names], _SHOWN)}")
    return Division(chosen, test_chosen)


def group_of(path: str, name: str, split_by: str) -> str:
    """Return the group of a recording by the name of its file.

    Args:
        path: The file, for error messages.
        name: Its path within the data set.
        split_by: As in `group_in_name`.

    Raises:
        DataError: The name states no group.
    """
    try:
        group = group_in_name(name, split_by)
    except re.error as error:
        raise DataError(f"--split-by {split_by!r:.60} is not a regular expression ({error}); correct it") from None
    if group is not None:
        return group
    if split_by.isdecimal():
        count = len(parts_of_name(name))
        raise DataError(
            f"data {shown(path)}: --split-by {split_by}: its name has {count} part{'s' * (count != 1)} between _; give "
            "another number or a regular expression, or rename the file"
        )
    raise DataError(
        f"data {shown(path)}: --split-by {split_by!r:.60} does not match '{shown(name)}'; correct the expression, or "
        "rename the file"
    )


def _overlap(groups: npt.NDArray[np.str_], parts: npt.NDArray[np.str_]) -> bool:
    """Return whether a group lies in two parts."""
    return len(set(zip(groups.tolist(), parts.tolist(), strict=True))) > len(set(groups.tolist()))


def _held_out(name: str, groups: npt.NDArray[np.str_], hold_out: Sequence[str]) -> npt.NDArray[np.bool_]:
    known = sorted(set(groups.tolist()))
    for group in hold_out:
        if group not in known:
            listed = first_of([shown(each) for each in known], _SHOWN)
            raise DataError(f"data {shown(name)}: --hold-out {group!r:.60} is no group; groups: {listed}")
    return np.isin(groups, list(hold_out))


def _split_groups(
    name: str, groups: npt.NDArray[np.str_], indices: Indices, missing: Missing
) -> tuple[Indices, Indices]:
    """Divide recordings into two parts, whole groups each; the missing part gets at least one group."""
    here = np.unique(groups[indices])
    if len(here) < missing.needed:
        raise DataError(
            f"data {shown(name)}: {len(here)} {'group' if len(here) == 1 else 'groups'} of recordings left to divide; "
            f"at least {missing.needed} are needed, so give another --split-by or fewer --hold-out"
        )
    count = min(max(1, round(missing.fraction * len(here))), len(here) - missing.needed + 1)
    held = np.isin(groups[indices], np.random.default_rng(missing.seed).permutation(here)[:count])
    return indices[~held], indices[held]


def _require_all_classes(name: str, source: SignalSource, train: Indices) -> None:
    if source.labels is None:
        return
    missing = np.setdiff1d(source.labels, source.labels[train])
    if len(missing):
        raise DataError(
            f"data {shown(name)}: no group of the train part has the class '{shown(source.classes[missing[0]])}'; give "
            "another --hold-out, --seed or --split-by"
        )


def _by_recording(name: str, source: SignalSource, given: Mapping[str, Indices], seed: int) -> dict[str, Indices]:
    """Divide recordings class by class; those without a class of their own all together."""
    chosen = dict(given)
    missing = missing_parts(chosen, seed)
    count, needed = len(chosen["train"]), 1 + len(missing)
    if source.labels is None and count < needed:
        raise DataError(
            f"data {shown(name)}: {count} recording{'s' * (count != 1)} for the train part, but all windows of a "
            f"recording stay in one part: at least {needed} are needed; add recordings, or say with "
            "--split-by COLUMN where one ends"
        )
    for each in missing:
        train = chosen["train"]
        share = each.share(len(train))
        if source.labels is None:
            rest, held = split_any(len(train), share, each.seed)
        else:
            rest, held = split_off(
                shown(name),
                source.labels[train],
                source.classes,
                share,
                seed=each.seed,
                needed=each.needed,
                noun="recording",
            )
        chosen["train"], chosen[each.part] = train[rest], train[held]
    return chosen

"""What a folder of images or recordings means: which folders are parts, which are classes, what belongs to neither."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hwnas._common._text import first_of
from hwnas._errors import DataError
from hwnas.data._kinds import IMAGES, Files
from hwnas.data._names import same_name, shown
from hwnas.data._recognise import each_folder, folders_in, has_files, suffix_of

PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("val", "valid", "validation"),
}
"""Folder names of each part, in any case."""
_CLUTTER = frozenset({"thumbs.db", "desktop.ini"})
_NAMED = 3
"""How many folders a line names."""


@dataclass
class Listing:
    """What lies in a folder and the folders in it.

    Attributes:
        files: Paths of the files, by their suffix; the folder's own first, each folder's in order of their names.
        deep: Folders inside it that hold some of them.
        others: Files that are left out, by what they are.
    """

    files: list[str] = field(default_factory=list)
    deep: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


@dataclass
class Layout:
    """The files of each part and class.

    Attributes:
        folders: The folders of each part.
        parts: For each part the class names and their files; the names are those of the train part.
        notes: Notes about what is left out.
    """

    folders: dict[str, Path]
    parts: dict[str, dict[str, list[str]]]
    notes: list[str]


def find_layout(root: Path, kind: Files = IMAGES) -> Layout:
    """Read the names in a folder of images, or of files of another kind.

    Args:
        root: The folder.
        kind: Which files are read.

    Raises:
        DataError: It holds no classes, or what it holds can be understood in two ways.
    """
    top = folders_in(root)
    folders = named_parts(top)
    if not _is_part(folders.get("train"), top, folders, kind):
        _require_classes(root, top, folders, kind)
        folders = {"train": root}
    _require_once(root, top, folders, kind)
    classes_of = {part: _list_classes(folder, kind) for part, folder in folders.items()}
    beside = [path for path in top if path not in folders.values()] if folders["train"] != root else []
    listings = [listing for classes in classes_of.values() for listing in classes.values()]
    loose = {folder: files_in(folder, kind) for folder in (root, *folders.values())}
    left: Counter[str] = Counter()
    for listing in (*listings, *loose.values()):
        left += listing.others
    notes = [
        *_beside(beside, kind),
        *_loose({folder: len(listing.files) for folder, listing in loose.items()}, kind),
        *_deep([path for listing in listings for path in listing.deep if not kind.nested], kind),
        *_others(left, kind),
    ]
    parts = {part: {name: listing.files for name, listing in classes.items()} for part, classes in classes_of.items()}
    return Layout(folders, _with_train_names(folders, parts), notes)


def named_parts(top: Sequence[Path]) -> dict[str, Path]:
    """Return the folder of each part, by its name alone; of two for one part the first."""
    folders: dict[str, Path] = {}
    for part, names in PARTS.items():
        for path in top:
            if path.name.lower() in names:
                folders.setdefault(part, path)
    return folders


def _is_part(train: Path | None, top: Sequence[Path], folders: Mapping[str, Path], kind: Files) -> bool:
    """Return whether a folder called train is a part, and not a class of that name.

    A part holds class folders, a class holds files. Where it holds both, or a single folder, what lies beside it
    decides: classes beside it make it a class.
    """
    if train is None:
        return False
    inside, loose = _classes_in(train, kind), bool(files_in(train, kind).files)
    if not inside:
        return not loose  # an empty part, which is refused as such
    doubtful = len(inside) == 1 or loose
    return not (doubtful and any(has_files(path, kind) for path in top if path not in folders.values()))


def _require_classes(root: Path, top: Sequence[Path], folders: Mapping[str, Path], kind: Files) -> None:
    """Refuse folders that are called like parts where no train part is.

    Raises:
        DataError: One holds class folders, or there are no others.
    """
    names = {path.name for path in top}
    for folder in folders.values():
        inside = [path.name for path in _classes_in(folder, kind)]
        if len(inside) > 1 or names & set(inside):
            what = "but there is no train folder beside it; add train/<class>/*"
            if folder == folders.get("train"):
                what = f"and {kind.many} or a folder beside them could be classes too; move them away"
            raise DataError(f"data {shown(folder)}: holds class folders, {what}")
    if folders and all(path in folders.values() for path in top if has_files(path, kind)):
        raise DataError(
            f"data {shown(root)}: no class folders in {', '.join(shown(path.name) for path in folders.values())}; "
            f"it must hold train/<class>/* or <class>/* with {kind.many}"
        )


def _require_once(root: Path, top: Sequence[Path], folders: Mapping[str, Path], kind: Files) -> None:
    for part, folder in folders.items():
        for other in top if folder != root else ():
            if other != folder and other.name.lower() in PARTS[part] and has_files(other, kind):
                raise DataError(
                    f"data {shown(root)}: both {shown(folder.name)} and {shown(other.name)} hold {part} {kind.many}; "
                    "keep one"
                )


def _with_train_names(
    folders: Mapping[str, Path], parts: Mapping[str, dict[str, list[str]]]
) -> dict[str, dict[str, list[str]]]:
    """Return the parts with class names as the train part spells them; spellings of Unicode are told apart nowhere.

    Raises:
        DataError: A part has a class that the train part lacks.
    """
    spelled = {same_name(name): name for name in parts["train"]}
    renamed: dict[str, dict[str, list[str]]] = {}
    for part, classes in parts.items():
        renamed[part] = dict(classes) if part == "train" else {}
        for name, files in classes.items() if part != "train" else ():
            known = spelled.get(same_name(name))
            if known is None:
                raise DataError(
                    f"data {shown(folders[part])}: class '{shown(name)}' is not one of the train classes; "
                    "add it to the train part, rename or remove it"
                )
            if known in renamed[part]:
                raise DataError(
                    f"data {shown(folders[part])}: two classes are called '{shown(name)}', in different spellings of "
                    "Unicode (NFC and NFD); merge them"
                )
            renamed[part][known] = files
    return renamed


def _list_classes(folder: Path, kind: Files) -> dict[str, Listing]:
    listings = {}
    for path in folders_in(folder):
        listings[path.name] = walk(path, kind)
        if not listings[path.name].files:
            raise DataError(
                f"data {shown(path)}: a class without {kind.many}; add some ({', '.join(sorted(kind.suffixes))}) or "
                "remove it"
            )
    return listings


def _classes_in(folder: Path, kind: Files) -> list[Path]:
    return [path for path in folders_in(folder) if has_files(path, kind)]


def files_in(folder: Path, kind: Files = IMAGES) -> Listing:
    """Return files in a folder itself, by name; hidden ones are skipped."""
    listing = Listing()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _CLUTTER or entry.is_dir():
                continue
            suffix = suffix_of(entry.name)
            if not entry.is_file():
                listing.others["broken links or not regular files"] += 1
            elif suffix in kind.suffixes:
                listing.files.append(entry.path)
            else:
                listing.others[suffix or "without a suffix"] += 1
    listing.files.sort()
    return listing


def walk(folder: Path, kind: Files) -> Listing:
    """Return files in a folder and all folders in it."""
    listing = Listing()
    for here in each_folder(folder):
        files = files_in(here, kind)
        listing.files += files.files
        listing.others += files.others
        if here != folder and files.files:
            listing.deep.append(here)
    return listing


def _beside(folders: Sequence[Path], kind: Files) -> list[str]:
    counts = {path: len(walk(path, kind).files) for path in folders}
    return [
        f"left out {kind.count(count)} in {shown(path)}, which is not train, val or test"
        for path, count in counts.items()
        if count
    ]


def _loose(counts: Mapping[Path, int], kind: Files) -> list[str]:
    return [
        f"left out {kind.count(count)} in {shown(path)} itself, which are in no class folder"
        for path, count in counts.items()
        if count
    ]


def _deep(places: Sequence[Path], kind: Files) -> list[str]:
    if not places:
        return []
    return [f"{kind.many} in subfolders count for the class above them: {first_of([*map(shown, places)], _NAMED)}"]


def _others(left: Counter[str], kind: Files) -> list[str]:
    if not left:
        return []
    kinds = ", ".join(f"{count} {shown(kind)}" for kind, count in left.most_common(6))
    more = f" and {len(left) - 6} more kinds" if len(left) > 6 else ""
    files = f"{left.total()} files that are not read as {kind.many}"
    if left.total() == 1:
        files = f"1 file that is not read as {_with_article(kind.one)}"
    return [f"left out {files}: {kinds}{more}; {kind.advice}"]


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"

"""Files in class folders as arrays: paths, parts and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas._errors import DataError
from hwnas.data._layout import Layout
from hwnas.data._names import require_class_names, shown
from hwnas.data._splits import Indices


@dataclass(frozen=True)
class LabelledFiles:
    """Files in the order of parts, classes and names.

    Attributes:
        paths: Their paths.
        parts: The part that each is in ``(n,)``.
        labels: Index of the class of each ``(n,)``.
        classes: Names of the classes.
    """

    paths: Sequence[str]
    parts: npt.NDArray[np.str_]
    labels: Indices
    classes: tuple[str, ...]


def labelled_files(root: Path, layout: Layout) -> LabelledFiles:
    """Return the files of a layout.

    Raises:
        DataError: There are fewer than two classes, or a part has no files.
    """
    classes = sorted(layout.parts["train"])
    if not classes:
        raise DataError(f"data {shown(root)}: no class folders; it must hold train/<class>/* or <class>/*")
    if len(classes) == 1:
        raise DataError(f"data {shown(root)}: only one class, '{shown(classes[0])}'; classification needs at least two")
    require_class_names(str(root), classes)
    rows = []
    for part, members in layout.parts.items():
        found = [(path, part, classes.index(name)) for name in sorted(members) for path in members[name]]
        if not found:
            raise DataError(
                f"data {shown(layout.folders[part])}: no class folders with files; add some, or remove the folder"
            )
        rows += found
    paths, parts, labels = zip(*rows, strict=True)
    return LabelledFiles(paths, np.array(parts), np.array(labels, dtype=np.int64), tuple(classes))

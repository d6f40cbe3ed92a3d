"""`load_dense`: data whose targets are maps, from one word."""

from __future__ import annotations

from pathlib import Path

from hwnas._errors import DataError
from hwnas.data._dense import DenseData
from hwnas.data._guards import LARGEST, one_line, recogniser, require_arguments
from hwnas.data._names import shown


@recogniser
def is_dense(spec: str) -> bool:
    """Return whether data have maps as targets: a folder of images and masks, or such an ``.npz`` file."""
    from hwnas.data._dense_folder import is_masks_folder
    from hwnas.data._dense_npz import is_dense_npz

    path = Path(spec)
    if path.is_dir():
        return is_masks_folder(path)
    return path.suffix.lower() == ".npz" and path.is_file() and is_dense_npz(path)


def load_dense(
    spec: str | Path, *, image_size: int | None = None, seed: int = 0, limit: int | None = None
) -> DenseData:
    """Load samples whose targets are maps, and split them.

    Args:
        spec: A folder (see `load_masks_folder`) or an ``.npz`` file (see `load_dense_npz`).
        image_size: Height and width to bring images of a folder to; None to keep theirs.
        seed: Decides the validation part.
        limit: Most samples of each part that the source has.

    Raises:
        DataError: One line that names the file at fault and says what to do.
    """
    from hwnas.data._dense_folder import is_masks_folder, load_masks_folder
    from hwnas.data._dense_npz import load_dense_npz

    if image_size is not None and not 1 <= image_size <= LARGEST:
        raise DataError(f"data {shown(spec)}: the image size must be 1 to {LARGEST}, got {image_size}")
    spec = require_arguments(spec, None, limit, seed)
    path = Path(spec)
    with one_line(spec, "samples", "--data-limit N"):
        if spec and path.is_dir():
            if not is_masks_folder(path):
                raise DataError(
                    f"data {shown(spec)}: holds no masks; it must hold train/images/* and train/masks/*.png of the "
                    "same names"
                )
            return load_masks_folder(spec, image_size=image_size, seed=seed, limit=limit)
        if path.suffix.lower() == ".npz" and path.is_file():
            if image_size is not None:
                raise DataError(f"data {shown(spec)}: arrays are not scaled; leave out --image-size")
            return load_dense_npz(spec, seed=seed, limit=limit)
    what = "is neither" if path.exists() and spec else "does not exist"
    raise DataError(f"data {shown(spec)}: {what}; give a folder of images and masks or an .npz file")

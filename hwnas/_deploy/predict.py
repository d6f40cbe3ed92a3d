"""Use, test or time the network beside this file, as hwnas tested and timed it.

    python predict.py FILE [more files or folders] [--top N] [--score S] [--csv FILE]
    python predict.py clip/ [more folders of frames, or of clips]    (a network for clips; also an .npz file)
    python predict.py --test FOLDER    (a sub-folder of files for each class; or an .npz file with x_test and y_test)
    python predict.py --benchmark

A network whose outputs are maps (a class or values for every pixel or step) writes them into a folder:

    python predict.py image.png [more images or folders] [--out FOLDER]    (a PNG of class indices for each image)
    python predict.py samples.npz [--out FOLDER]                           (x, channels first; an .npz file of maps y)
    python predict.py --test FOLDER    (images/* and masks/*.png; or an .npz file with x_test and y_test)

Needs Python 3.9 and the packages in requirements.txt; nothing of hwnas. Session options, preparation of samples and
names of classes are read from the metadata of network.onnx, hwnas's own figures from expected.json. All of it is in one
file, so that it can be copied alone; networks that read signals need recordings.py beside it, too.
"""

from __future__ import annotations

import argparse
import csv
import errno
import importlib.util
import json
import os
import sys
import time
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

try:
    import numpy as np
except ImportError as error:
    print(f"predict.py: error: {error.name} is missing; run: pip install -r requirements.txt", file=sys.stderr)
    raise SystemExit(2) from None
try:
    from PIL import Image, ImageOps
except ImportError:  # networks that read no images do not need it
    Image = ImageOps = None  # type: ignore[assignment]

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
ARRAYS = {".npy", ".npz"}
SUFFIXES = {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
PARTS = ("train", "training", "test", "testing", "val", "valid", "validation")
MOST_GROUPS = 8
MOST_PRINTED = 8  # outputs of a sample; a CSV file holds all
GREY_MODES = ("1", "L", "LA", "La")
PNG_DEPTH = 24  # where a PNG states its bits a sample; the kind of its colours follows
CPU = "CPUExecutionProvider"
STATISTICS = {"q10": 0.1, "median": 0.5, "p90": 0.9, "p99": 0.99}
PRIMING_RUNS, FEWEST_ROUNDS, ENOUGH_ROUNDS = 4, 30, 200
LEAST_SECONDS, MOST_SECONDS = 1.0, 3.0
PAUSES, PAUSE_SECONDS = 3, 1.0
AFTER_PAUSE = "after a pause of 1 s"


class InputError(Exception):
    """One line for people: what is wrong, where, and what to do."""


# The network


def load_runtime() -> Any:
    """Import ONNX Runtime with its telemetry off."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError:
        raise InputError("onnxruntime is missing; run: pip install -r requirements.txt") from None
    getattr(onnxruntime, "disable_telemetry_events", lambda: None)()
    return onnxruntime


def open_session(path: Path, stated: dict[str, Any] | None) -> Any:
    """Open an ONNX file with the options that its metadata state; with ONNX Runtime's defaults for None."""
    runtime = load_runtime()
    options, providers = runtime.SessionOptions(), [CPU]
    options.log_severity_level = 4
    if stated is not None:
        options.intra_op_num_threads = stated["intra_op_num_threads"]
        options.inter_op_num_threads = stated["inter_op_num_threads"]
        options.execution_mode = getattr(runtime.ExecutionMode, stated["execution_mode"])
        options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, stated["graph_optimization_level"])
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if stated["allow_spinning"] else "0")
        providers = [stated["provider"], *([CPU] if stated["provider"] != CPU else [])]
    try:
        return runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        raise InputError(f"{path}: cannot be loaded ({str(error).splitlines()[0]})") from None


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what the ONNX file says of itself: values by name, without ``hwnas.`` before them."""
    if not path.is_file():
        raise InputError(f"{path} is missing; keep predict.py and the ONNX file in one folder, or give --model FILE")
    runtime = load_runtime()
    basic = {"intra_op_num_threads": 1, "inter_op_num_threads": 1, "execution_mode": "ORT_SEQUENTIAL"}
    basic |= {"graph_optimization_level": "ORT_DISABLE_ALL", "allow_spinning": False, "provider": CPU}
    texts = open_session(path, basic).get_modelmeta().custom_metadata_map
    values: dict[str, Any] = {}
    for key, text in texts.items():
        name = key[len("hwnas.") :] if key.startswith("hwnas.") else key
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    if not isinstance(values.get("session"), dict):
        raise InputError(
            f"{path} has no session options in its metadata; write it with: hwnas export RUN --deploy FOLDER"
        )
    provider = values["session"]["provider"]
    if provider not in runtime.get_available_providers():
        print(f"note: this onnxruntime has no {provider}; the CPU executes the network", file=sys.stderr)
        values["session"]["provider"] = CPU
    return values


class Network:
    """The ONNX file with its session and what its metadata say.

    Attributes:
        names: Names of all classes that the metadata state.
        classes: These names where outputs are their logits; empty for any other network.
        found: These names where outputs are boxes; empty for any other network.
        preparing: How images become inputs; None where samples are neither images nor clips.
        frames: Frames of a clip; 0 where samples are no clips.
        maps: What the network's maps mean, and how samples become inputs; None where its outputs are no maps.
        signals: How recordings become inputs; None where samples are no signals.
        recordings: The module that reads recordings; None where samples are no signals.
        target: Mean and deviation that outputs stand for; None where outputs are used as they are.
        groups: Groups of recordings that hwnas tested the network on; empty where they have none.
        batch: Samples of one inference.
        shape: Shape of one sample, as the network reads it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.metadata = path, read_metadata(path)
        self.session = open_session(path, self.metadata["session"])
        entry = self.session.get_inputs()[0]
        self._input, self.batch, self.shape = entry.name, int(entry.shape[0]), tuple(entry.shape[1:])
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.names = [str(name) for name in self.metadata.get("classes") or ()]
        shapes = [list(output.shape) for output in self.session.get_outputs()]
        detects = "detections" in self.metadata and len(shapes) == 1 and len(shapes[0]) == 3
        self.found = self.names if detects else []
        self.classes = self.names if shapes == [[self.batch, len(self.names)]] else []
        preparing = self.metadata.get("preprocessing")
        known = isinstance(preparing, dict) and {"size", "mean", "std"} <= set(preparing)
        self.frames = self.shape[1] if known and len(self.shape) == 4 else 0
        self.preparing: dict[str, Any] | None = preparing if known and len(self.shape) in (3, 4) else None
        if self.preparing is not None and Image is None:
            raise InputError("Pillow is missing; run: pip install -r requirements.txt")
        self.maps: dict[str, Any] | None = self.metadata.get("dense")
        is_signal = isinstance(preparing, dict) and preparing.get("kind") == "signal"
        self.signals: dict[str, Any] | None = preparing if is_signal else None
        self.recordings: Any = load_recordings() if is_signal else None
        self.target: dict[str, float] | None = self.metadata.get("target") if is_signal else None
        self.test_part: dict[str, Any] = self.metadata.get("test_part") or {}
        self.groups: list[str] = self.test_part.get("groups") or []

    def infer(self, samples: np.ndarray) -> list[np.ndarray]:
        """Return an output ``(N, ...)`` for each of the network's, of at most `batch` samples ``(N, *shape)``."""
        padded = np.zeros((self.batch, *self.shape), dtype=np.float32)
        padded[: len(samples)] = samples
        outputs = [output[: len(samples)] for output in self.session.run(None, {self._input: padded})]
        if self.target is None:
            return outputs
        return [output * self.target["std"] + self.target["mean"] for output in outputs]


def load_recordings() -> Any:
    """Import recordings.py, which lies beside this file."""
    path = Path(__file__).with_name("recordings.py")
    spec = importlib.util.spec_from_file_location("recordings", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"{path} is missing; write the folder again with: hwnas export RUN --deploy FOLDER")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities of logits ``(N, classes)``."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


# Samples


def decode(path: Path, channels: int, image_size: int | None = None) -> np.ndarray:
    """Return the pixels ``(H, W)`` or ``(H, W, 3)`` uint8 of an image file.

    Args:
        path: The file.
        channels: Of the network's samples; with 1, colours become grey.
        image_size: Where it is given, a JPEG may be decoded at a size that is just as large.
    """
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as opened:
            warnings.simplefilter("ignore")
            if opened.mode.startswith(("I", "F")):
                raise InputError(f"{path}: has pixels of mode {opened.mode}; convert the image to 8 bits a channel")
            if image_size:
                opened.draft(None, (image_size, image_size))
            image: Any = ImageOps.exif_transpose(opened)
            grey = image.mode in GREY_MODES or channels == 1
            return np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
    except InputError:
        raise
    except Exception as error:  # a decoder raises anything on damaged bytes
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
        if reason.startswith("cannot identify image file"):
            reason = "unknown format or damaged header"
        raise InputError(f"{path}: cannot be read as an image ({reason}); repair or remove the file") from None


def as_loaded(pixels: np.ndarray, preparing: dict[str, Any]) -> np.ndarray:
    """Return pixels ``(H, W)`` or ``(H, W, C)`` at the size at which hwnas loads images, with the network's channels.

    The shorter side is scaled to that size and the centre is cut out, or the whole image is stretched to it where the
    network was trained so; images of that size stay as they are.
    """
    square = preparing.get("image_size") or (preparing.get("loaded_size") or [min(pixels.shape[:2])])[0]
    if pixels.shape[:2] != (square, square):
        picture = Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
        if preparing.get("stretch"):
            pixels = np.asarray(picture.resize((square, square), Image.Resampling.BILINEAR))
        else:
            pixels = np.asarray(ImageOps.fit(picture, (square, square), Image.Resampling.BILINEAR))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return np.broadcast_to(pixels, (square, square, len(preparing["mean"])))


def prepare(pixels: np.ndarray, preparing: dict[str, Any]) -> np.ndarray:
    """Return an input ``(C, size, size)`` float32 of pixels ``(H, W, C)``: scaled, normalised, resized."""
    mean, std = (np.asarray(preparing[name], dtype=np.float32) for name in ("mean", "std"))
    values = ((pixels.astype(np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)
    size = (preparing["size"], preparing["size"])
    if values.shape[1:] != size:  # Pillow scales numbers as torch's antialiased bilinear interpolation does
        channels = [Image.fromarray(np.ascontiguousarray(channel)) for channel in values]
        values = np.stack([np.asarray(channel.resize(size, Image.Resampling.BILINEAR)) for channel in channels])
    return values


def extent(path: Path) -> tuple[int, int]:
    """Return width and height of an image that was decoded before, turned as its EXIF data say."""
    with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as opened:
        warnings.simplefilter("ignore")
        width, height = opened.size
        if opened.getexif().get(0x0112, 1) in (5, 6, 7, 8):  # Pillow gives some files their turned size at once
            width, height = ImageOps.exif_transpose(opened).size
    return width, height


def files_in(folder: Path, suffixes: Any) -> list[Path]:
    """Return the files in a folder and its sub-folders that end in one of `suffixes`, sorted, without hidden ones."""
    files = [path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file()]
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def clip_files(folder: Path, frames: int) -> list[tuple[Path, ...]]:
    """Return the frames that the network reads of each clip in a folder, which may be a clip itself, sorted."""
    clips: dict[Path, list[Path]] = {}
    for file in files_in(folder, SUFFIXES):
        clips.setdefault(file.parent, []).append(file)
    for clip, files in clips.items():
        if len(files) < frames:
            raise InputError(f"{clip}: a clip of {len(files)} frames, the network reads {frames}")
    ordered = [sorted(files, key=frame_order) for files in clips.values()]
    return [tuple(files[i] for i in even_frames(len(files), frames)) for files in ordered]


def frame_order(path: Path) -> tuple[str, int, str]:
    """Return what frames are sorted by: the word in front of a number, then the number, so that 2 is before 10."""
    word = path.stem.rstrip("0123456789")
    return word, int(path.stem[len(word) :] or -1), str(path)


def even_frames(count: int, wanted: int) -> list[int]:
    """Return the numbers of the frames that hwnas takes of a clip, evenly over its time."""
    return [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]


def suffixes_of(network: Network) -> Any:
    """Return the suffixes of files that a network reads in folders."""
    if network.signals is None:
        return SUFFIXES if network.preparing is not None else ARRAYS
    of_source = {"wav": network.recordings.WAV_SUFFIXES, "csv": network.recordings.CSV_SUFFIXES}
    return of_source.get(network.signals["loading"]["source"], ARRAYS)


def samples_in(folder: Path, network: Network) -> list[Any]:
    """Return the samples in a folder: files of images or recordings, or the frames of each clip."""
    return clip_files(folder, network.frames) if network.frames else files_in(folder, suffixes_of(network))


def ready(sample: Any, preparing: dict[str, Any]) -> np.ndarray:
    """Return the input of a sample: of an image as a file or pixels ``(H, W[, C])``, or of a clip as a tuple of these.

    Images are cut as hwnas cuts its data.
    """
    if isinstance(sample, tuple):
        return np.stack([ready(frame, preparing) for frame in sample], axis=1)
    is_file = isinstance(sample, Path)
    pixels = decode(sample, len(preparing["mean"]), preparing.get("image_size")) if is_file else sample
    return prepare(as_loaded(pixels, preparing), preparing)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file, or of an .npy file under the name ``x``."""
    try:
        loaded = np.load(path, allow_pickle=False)
        return dict(loaded) if hasattr(loaded, "files") else {"x": loaded}
    except Exception as error:  # damaged files raise many kinds
        reason = (
            getattr(error, "strerror", None)
            or "not a readable .npy or .npz file (arrays of Python objects are refused)"
        )
        raise InputError(f"{path}: {reason}") from None


def samples_of(path: Path, network: Network) -> np.ndarray:
    """Return inputs ``(N, *shape)`` of an array file as it is, or of a recording or signals as hwnas prepares them."""
    if network.signals is None or path.suffix.lower() in ARRAYS:
        return array_samples(path, load_arrays(path), network)
    if network.signals["loading"]["source"] == "npz":
        raise InputError(f"{path}: the network reads arrays; give an .npy or .npz file")
    try:
        return scaled_signals(network.recordings.load_samples(path, network.signals["loading"]), network)
    except network.recordings.RecordingError as error:
        raise InputError(f"{path}: {error}") from None


def array_samples(path: Path, arrays: dict[str, np.ndarray], network: Network) -> np.ndarray:
    """Return inputs ``(N, *shape)`` of the arrays of a file: as they are, or of signals as hwnas prepares them."""
    samples = array_of(path, arrays, stored_shape(network))
    return samples if network.signals is None else scaled_signals(samples, network)


def stored_shape(network: Network) -> tuple[int, ...]:
    """Return the shape of one sample in an array file; signals are longer there, where hwnas cuts them."""
    if network.signals is None:
        return network.shape
    return network.signals["loading"]["channels"], network.signals["loading"]["length"]


def scaled_signals(samples: np.ndarray, network: Network) -> np.ndarray:
    """Return signals ``(N, channels, length)`` as the network reads them."""
    assert network.signals is not None
    ready: np.ndarray = network.recordings.scaled(samples, network.signals["mean"], network.signals["std"])
    first = (ready.shape[2] - network.shape[1]) // 2
    return ready[:, :, first : first + network.shape[1]]


def samples_key(path: Path, arrays: dict[str, np.ndarray]) -> str:
    """Return the name of the samples among the arrays of a file: ``x`` or ``x_test``."""
    key = next((name for name in ("x", "x_test") if name in arrays), None)
    if key is None:
        raise InputError(f"{path}: holds none of the arrays x and x_test; it has {', '.join(arrays) or 'none'}")
    return key


def labelled_keys(path: Path, arrays: dict[str, np.ndarray]) -> tuple[str, str]:
    """Return the names of samples and their labels: ``x`` and ``y`` where there is an ``x``, else with ``_test``."""
    word = "" if "x" in arrays else "_test"
    if not {f"x{word}", f"y{word}"} <= set(arrays):
        raise InputError(f"{path}: must hold x_test and y_test, or x and y; it has {', '.join(arrays) or 'none'}")
    return f"x{word}", f"y{word}"


def array_of(path: Path, arrays: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Return samples ``(N, *shape)`` of the arrays of a file: of ``x``, of ``x_test``, or of the only array."""
    key = next(iter(arrays)) if len(arrays) == 1 else samples_key(path, arrays)
    values = arrays[key] if arrays[key].shape != shape else arrays[key][None]
    require_samples(path, key, values, shape)
    if not len(values):
        raise InputError(f"{path}: {key} holds no samples; add some")
    return values


def require_samples(path: Path, key: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse an array that does not hold samples ``(N, *shape)`` of numbers."""
    if values.ndim != 1 + len(shape) or values.shape[1:] != shape:
        wanted = ", ".join(map(str, ("N", *shape)))
        raise InputError(f"{path}: {key} has shape {values.shape}, the network reads numbers of shape ({wanted})")
    if values.dtype.kind not in "biuf":
        raise InputError(f"{path}: {key} holds {values.dtype}, the network reads numbers; convert it to float32")


def stored_clips(path: Path, network: Network, arrays: dict[str, np.ndarray], key: str) -> np.ndarray:
    """Return inputs of the clips ``(N, C, T, H, W)`` that an .npz file holds under a name."""
    clips, preparing = arrays[key], network.preparing
    assert preparing is not None
    if not len(clips):
        raise InputError(f"{path}: {key} holds no clips")
    if clips.ndim != 5 or clips.shape[1] not in (1, network.shape[0]) or clips.shape[2] < network.frames:
        raise InputError(
            f"{path}: {key} has shape {clips.shape}; it must be clips (N, C, T, H, W) of {network.shape[0]} channels "
            f"and {network.frames} frames or more"
        )
    pixels = as_levels(path, clips, arrays.get("x_train", clips)).transpose(0, 2, 3, 4, 1)
    chosen = even_frames(clips.shape[2], network.frames)
    return np.stack([ready(tuple(clip[i] for i in chosen), preparing) for clip in pixels])


def as_levels(path: Path, images: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return images as uint8; what the training images `basis` hold decides on the scale of floats."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f" or not -0.5 <= float(images.min()) <= float(images.max()) <= 255.5:
        raise InputError(f"{path}: images must be uint8, or float on 0-1 or 0-255")
    scale = 255.0 if float(basis.max()) <= 255.5 / 255 else 1.0
    return np.asarray(np.clip(np.round(images * scale), 0, 255).astype(np.uint8))


def labelled_pixels(path: Path, preparing: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return images ``(N, H, W[, C])`` uint8 and labels ``(N,)`` of an .npz file as hwnas reads them."""
    arrays = load_arrays(path)
    images, labels = (arrays[key] for key in labelled_keys(path, arrays))
    shaped = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, len(preparing["mean"])))
    if not shaped or labels.shape != images.shape[:1] or not len(images):
        raise InputError(f"{path}: images {images.shape} and labels {labels.shape} must be (N, H, W[, C]) and (N,)")
    return as_levels(path, images, arrays.get("x_train", images)), labels


# What the commands do


def batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield the items in groups of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def require_there(paths: Sequence[Path]) -> None:
    """Refuse paths where nothing is."""
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        raise InputError(f"{missing} does not exist")


def results_of(paths: Sequence[Path], network: Network) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield the name of each sample with its outputs; every path is checked before the first inference."""
    require_there(paths)
    named = [sample for path in paths for sample in named_samples(path, network)]
    if not named:
        what = "images" if network.preparing is not None else "recordings" if network.signals is not None else "arrays"
        raise InputError(f"{paths[0]} holds no {what}; known suffixes: {' '.join(sorted(suffixes_of(network)))}")
    if network.preparing is None:
        for _, path in named:
            samples, seen = samples_of(path, network), 0
            alone = len(samples) == 1 and path.suffix.lower() not in ARRAYS
            for group in batches(list(samples), network.batch):
                outputs = network.infer(np.stack(group))
                for i in range(len(group)):
                    yield str(path) if alone else f"{path}[{seen + i}]", [output[i] for output in outputs]
                seen += len(group)
        return
    for group in batches(named, network.batch):
        outputs = network.infer(
            np.stack([x if isinstance(x, np.ndarray) else ready(x, network.preparing) for _, x in group])
        )
        for i, (name, _) in enumerate(group):
            yield name, [output[i] for output in outputs]


def named_samples(path: Path, network: Network) -> list[tuple[str, Any]]:
    """Return the samples of a path with their names: files, the frames of clips, or inputs of stored clips."""
    if not network.frames:
        return [(str(file), file) for file in (samples_in(path, network) if path.is_dir() else [path])]
    if path.is_dir():
        return [(str(clip[0].parent), clip) for clip in samples_in(path, network)]
    if path.suffix.lower() != ".npz":
        raise InputError(f"{path} is no clip; give a folder of frames, a folder of clips, or an .npz file")
    held = load_arrays(path)
    clips = stored_clips(path, network, held, samples_key(path, held))
    return [(f"{path}[{i}]", clip) for i, clip in enumerate(clips)]


def predict(network: Network, paths: Sequence[Path], top: int, table: Path | None) -> None:
    """Print the most probable classes of each sample with their probabilities, or the first outputs of others."""
    heads = ["file", "rank", "class", "probability"] if network.classes else ["file", "number", "output", "value"]
    written = Rows(table, heads)
    for name, outputs in results_of(paths, network):
        if network.classes:
            chances = softmax(outputs[0][None])[0]
            best = [int(i) for i in np.argsort(-chances, kind="stable")[:top]]
            print(f"{name}: {', '.join(f'{network.classes[i]} {chances[i]:.4f}' for i in best)}")
            written.add([name, rank + 1, network.classes[i], float(chances[i])] for rank, i in enumerate(best))
        else:
            values = [(key, float(v)) for key, output in zip(network.outputs, outputs) for v in output.ravel()]  # noqa: B905
            more = f", and {len(values) - MOST_PRINTED} more" if len(values) > MOST_PRINTED else ""
            print(f"{name}: {', '.join(f'{key} {value:.6g}' for key, value in values[:MOST_PRINTED])}{more}")
            written.add([name, number + 1, key, value] for number, (key, value) in enumerate(values))


# Boxes


def detect(network: Network, paths: Sequence[Path], least: float, table: Path | None) -> None:
    """Print the boxes in each image, best first: class, score, and x1, y1, x2, y2 in pixels of the image."""
    written = Rows(table, ["file", "class", "score", "x1", "y1", "x2", "y2"])
    for name, (boxes,) in results_of(paths, network):
        width, height = extent(Path(name)) if network.preparing is not None else (1, 1)
        shown = [row for row in boxes.tolist() if row[4] > 0 and row[4] >= least]
        print(f"{name}: {len(shown)} box{'es' if len(shown) != 1 else ''}")
        written.add([])  # the header, also where no image has a box
        for x1, y1, x2, y2, score, label in shown:
            corners = [round(x1 * width, 1), round(y1 * height, 1), round(x2 * width, 1), round(y2 * height, 1)]
            print(f"  {network.found[int(label)]} {score:.4f} at {' '.join(f'{corner:g}' for corner in corners)}")
            written.add([[name, network.found[int(label)], score, *corners]])


# Maps


def map_samples(path: Path, network: Network) -> np.ndarray:
    """Return samples ``(N, *shape)`` as they were before hwnas normalised them: of an image, or of an array file."""
    assert network.maps is not None
    if path.suffix.lower() not in SUFFIXES:
        return as_trained(path, samples_of(path, network), network)
    channels, height, width = network.shape if len(network.shape) == 3 else (0, 0, 0)
    if not network.maps["pixels"] or channels not in (1, 3):
        raise InputError(f"{path}: this network reads no images; give an .npy or .npz file of samples")
    pixels = decode(path, channels)
    if network.maps.get("image_size"):
        pixels = as_loaded(pixels, network.maps)
    pixels = np.broadcast_to(pixels if pixels.ndim == 3 else pixels[..., None], (*pixels.shape[:2], channels))
    if pixels.shape[:2] != (height, width):
        here = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise InputError(f"{path}: {here} pixels, but the network reads {width}x{height}; scale or cut the image")
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]


def as_trained(path: Path, samples: np.ndarray, network: Network) -> np.ndarray:
    """Return samples of an array file on the scale of the training: levels of 0-255 where it read these."""
    assert network.maps is not None
    return as_levels(path, samples, samples) if network.maps["pixels"] else samples


def infer_maps(network: Network, samples: np.ndarray) -> np.ndarray:
    """Return class indices ``(N, ...)`` uint8, or values ``(N, channels, ...)`` in the units of the targets."""
    facts = network.maps
    assert facts is not None
    each, names = (-1, *(1,) * (samples.ndim - 2)), ("mean", "std", "map_mean", "map_std")
    moments = {name: np.asarray(facts[name], dtype=np.float32).reshape(each) for name in names if name in facts}
    x = (samples.astype(np.float32) / np.float32(255 if facts["pixels"] else 1) - moments["mean"]) / moments["std"]
    maps = np.concatenate([network.infer(np.stack(group))[0] for group in batches(list(x), network.batch)])
    if facts["kind"] == "segmentation":
        return np.asarray(maps.argmax(axis=1), dtype=np.uint8)
    return np.asarray(maps * moments["map_std"] + moments["map_mean"])


def predict_maps(network: Network, paths: Sequence[Path], out: Path) -> None:
    """Write the map of each image as a PNG of class indices, and the maps of an array file as ``y`` of an .npz file."""
    require_there(paths)
    files = [file for path in paths for file in (files_in(path, SUFFIXES) if path.is_dir() else [path])]
    if not files:
        raise InputError(f"{paths[0]} holds no images; known suffixes: {' '.join(sorted(SUFFIXES))}")
    for file, target in map_targets(network, files, out).items():
        maps = infer_maps(network, map_samples(file, network))
        try:
            out.mkdir(parents=True, exist_ok=True)
            if target.suffix == ".png":
                Image.fromarray(maps[0]).save(target)
            else:
                np.savez(target, y=maps)
        except OSError as error:
            raise InputError(f"cannot write {target}: {error.strerror}; choose another --out") from None
        print(f"{file}: {target}{class_shares(maps, network) if maps.dtype == np.uint8 else ''}")


def map_targets(network: Network, files: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Return where the map of each file goes; refuse two for one place, and the place of a file that is read."""
    assert network.maps is not None
    read, targets, taken = {file.resolve(): file for file in files}, dict[Path, Path](), dict[Path, Path]()
    for file in files:
        as_image = network.maps["kind"] == "segmentation" and file.suffix.lower() in SUFFIXES
        target = out / f"{file.stem}{'.png' if as_image else '.npz'}"
        other = taken.get(target) or read.get(target.resolve())
        if other is not None:
            raise InputError(f"{file} and {other} would both be {target}; rename one, or give another --out")
        targets[file], taken[target] = target, file
    return targets


def class_shares(maps: np.ndarray, network: Network) -> str:
    """Return the classes that cover most of a map, with their shares: `` (sky 61 %, road 30 %)``."""
    counts = np.bincount(maps.ravel(), minlength=len(network.names))
    most = [int(i) for i in np.argsort(-counts, kind="stable")[:3] if counts[i]]
    return f" ({', '.join(f'{network.names[i]} {counts[i] / maps.size:.0%}' for i in most)})"


def test_maps(network: Network, path: Path, expected: dict[str, Any]) -> None:
    """Print the mean IoU or the relative L2 of labelled samples, beside what hwnas found."""
    facts = network.maps
    assert facts is not None
    samples, targets = labelled_maps(path, network)
    maps = infer_maps(network, samples)
    require_targets(path, network, maps, targets)
    if facts["kind"] == "segmentation":
        known, count = targets != facts["ignored"], len(network.names)
        pairs = np.bincount(targets[known].astype(np.int64) * count + maps[known], minlength=count * count)
        table = pairs.reshape(count, count)
        union = table.sum(axis=0) + table.sum(axis=1) - np.diag(table)
        value, name = float((np.diag(table)[union > 0] / union[union > 0]).mean()), "mean IoU"
    else:
        flat = maps.astype(np.float64).reshape(len(maps), -1), targets.astype(np.float64).reshape(len(maps), -1)
        norms = np.linalg.norm(flat[1], axis=1)
        value, name = float((np.linalg.norm(flat[0] - flat[1], axis=1) / norms).mean()), "relative L2"
    print_figures(name, f"{value:.4f} ({len(maps)} samples)", ".4f", expected, len(maps))


def require_targets(path: Path, network: Network, maps: np.ndarray, targets: np.ndarray) -> None:
    """Refuse targets that the network's maps cannot be compared with."""
    facts, count = network.maps, len(network.names)
    assert facts is not None
    segments = facts["kind"] == "segmentation"
    if targets.shape != maps.shape or targets.dtype.kind not in ("iu" if segments else "fiu"):
        numbers = "class indices" if segments else "numbers"
        raise InputError(
            f"{path}: targets are {targets.dtype} {targets.shape}, but the network gives {numbers} {maps.shape}"
        )
    if segments:
        known = targets[targets != facts["ignored"]]
        if not known.size:
            raise InputError(f"{path}: every target is {facts['ignored']}, which means to ignore it; nothing to test")
        wrong = known[(known < 0) | (known >= count)]
        if wrong.size:
            raise InputError(f"{path}: class index {int(wrong[0])}, but the network knows 0 to {count - 1}")
        return
    flat = targets.reshape(len(targets), -1)
    wrong = np.flatnonzero(~np.isfinite(flat).all(axis=1) | ~flat.any(axis=1))
    if wrong.size:
        raise InputError(
            f"{path}: target {wrong[0]} is zero everywhere or holds NaN or infinity, so no error can be relative to "
            "it; remove the sample"
        )


def print_figures(name: str, here: str, form: str, expected: dict[str, Any], count: int, others: str = "") -> None:
    """Print what was found here, and below it what hwnas found on its test samples, unless these were others.

    Args:
        name: The metric's.
        here: What was found here.
        form: Format of a value.
        expected: hwnas's figures.
        count: Samples that were tested here.
        others: Why they are others than those of hwnas; empty where nothing but their number can tell.
    """
    print(f"{name} {here}")
    value, samples = expected.get("test"), expected.get("test_samples")
    if not others and samples not in (None, count):
        others = f"hwnas tested {samples} samples"
    if others and value is not None:
        print(f"note: these are not the test samples of hwnas ({others}), so its figure is left out", file=sys.stderr)
    elif value is not None:
        print(f"{'hwnas':<{len(name)}} {value:{form}} (of {samples or 'its'} test samples)")


def labelled_maps(path: Path, network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Return samples and their maps: of a folder with images/* and masks/*.png, or of an .npz file."""
    if path.is_dir():
        parts = part_folders(path, network)
        tested = [parts[name] for name in ("test", "testing") if name in parts]
        root = next((folder for folder in (path, *tested) if (folder / "images").is_dir()), path)
        files = files_in(root / "images", SUFFIXES) if (root / "images").is_dir() else []
        folder = root / "masks"
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
        found = {mask.stem: mask for mask in inside if mask.suffix.lower() == ".png"}
        masks = [found.get(file.stem, folder / f"{file.stem}.png") for file in files]
        missing = next((mask for mask in masks if not mask.is_file()), root / "images" if not files else None)
        if missing is not None:
            raise InputError(f"{missing} is missing; {path} must hold images/* and masks/*.png of the same names")
        samples = np.concatenate([map_samples(file, network) for file in files])
        assert network.maps is not None
        square = network.maps.get("image_size")
        return samples, np.stack([read_mask(mask, file, square) for mask, file in zip(masks, files)])  # noqa: B905
    require_there([path])
    arrays = load_arrays(path)
    targets = arrays[labelled_keys(path, arrays)[1]]
    return as_trained(path, array_samples(path, arrays, network), network), targets


def read_mask(path: Path, image: Path, square: int | None) -> np.ndarray:
    """Return the class indices ``(H, W)`` of an image's mask as hwnas reads them."""
    try:
        with path.open("rb") as file, Image.open(file, formats=("PNG",)) as opened:
            file.seek(PNG_DEPTH)
            depth, colours = file.read(2)
            mode, values = opened.mode, np.asarray(opened, dtype=np.uint8)
    except Exception as error:  # a decoder raises anything on damaged bytes
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: cannot be read as a PNG ({reason}); repair or remove the file") from None
    if depth in (2, 4) and colours == 0:  # Pillow stretches these to 0-255
        raise InputError(f"{path}: has grey levels of {depth} bits; save the mask with 8 bits a pixel (or a palette)")
    if mode not in ("1", "L", "P"):
        raise InputError(
            f"{path}: has pixels of mode {mode}; a mask has one channel of 8 bits, the class index of each pixel (or a "
            "palette)"
        )
    width, height = extent(image)
    if values.shape != (height, width):
        here = f"{values.shape[1]}x{values.shape[0]}"
        raise InputError(f"{path}: {here} pixels, but its image has {width}x{height}; make them equal")
    if square:
        values = np.asarray(ImageOps.fit(Image.fromarray(values), (square, square), Image.Resampling.NEAREST))
    return values


class Rows:
    """The rows of a CSV file, written as they come: what comes later may be no readable file."""

    def __init__(self, path: Path | None, header: Sequence[str]) -> None:
        self.path, self._header = path, [header]
        if path is not None and not path.parent.is_dir():
            raise self._unwritable(os.strerror(errno.ENOENT))

    def add(self, rows: Iterable[Sequence[object]]) -> None:
        """Append rows; the first call replaces a file that is there."""
        if self._header:
            self._write("w", self._header)
            self._header = []
        self._write("a", rows)

    def _write(self, mode: str, rows: Iterable[Sequence[object]]) -> None:
        if self.path is None:
            return
        try:
            with self.path.open(mode, newline="", encoding="utf-8", errors="backslashreplace") as file:
                csv.writer(file).writerows(rows)
        except OSError as error:
            raise self._unwritable(error.strerror) from None

    def _unwritable(self, reason: str | None) -> InputError:
        return InputError(f"cannot write {self.path}: {reason}; choose another --csv")


def in_classes(root: Path, network: Network) -> list[tuple[Any, str]]:
    """Return the samples in the class folders of a folder, each with the name of its class."""
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    return [(file, folder.name) for folder in folders for file in samples_in(folder, network)]


def part_folders(path: Path, network: Network) -> dict[str, Path]:
    """Return the folders of parts (train, test, ...) in a folder, by their names in lower case."""
    inside = sorted(folder for folder in path.iterdir() if folder.is_dir() and folder.name not in network.classes)
    return {folder.name.lower(): folder for folder in inside if folder.name.lower() in PARTS}


def of_tested_groups(path: Path, network: Network) -> list[tuple[Any, str]]:
    """Return the recordings in a folder whose names state a group that hwnas tested the network on, as `in_classes`."""
    if not network.groups or network.test_part["groups_by"] != "name":
        return []
    parts = part_folders(path, network).values()
    split_by, group_of = network.test_part["split_by"], network.recordings.group_in_name
    files = [each for part in parts or [path] for each in in_classes(part, network)]
    return [each for each in files if group_of(each[0].relative_to(path).as_posix(), split_by) in network.groups]


def of_tested_arrays(
    path: Path, arrays: dict[str, np.ndarray], network: Network
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return signals and labels of the groups that hwnas tested the network on; None where no array states groups."""
    if not network.groups or network.test_part["groups_by"] != "array":
        return None
    words = [
        word for word in ("train", "test", "val") if {f"{key}_{word}" for key in ("x", "y", "group")} <= set(arrays)
    ]
    for word in words:
        require_part(path, arrays, word, stored_shape(network))
    held = {word: np.isin(arrays[f"group_{word}"].astype(str), network.groups) for word in words}
    if not any(tested.any() for tested in held.values()):
        return None
    x, y = (np.concatenate([arrays[f"{key}_{word}"][tested] for word, tested in held.items()]) for key in ("x", "y"))
    return scaled_signals(x, network), y


def require_part(path: Path, arrays: dict[str, np.ndarray], word: str, shape: tuple[int, ...]) -> None:
    """Refuse a part of an .npz file without a label and a group for each sample, or with samples of another shape."""
    x = arrays[f"x_{word}"]
    require_samples(path, f"x_{word}", x, shape)
    for key in (f"y_{word}", f"group_{word}"):
        if arrays[key].shape != (len(x),):
            raise InputError(
                f"{path}: {key} has shape {arrays[key].shape}, but x_{word} holds {len(x)} samples; give one for each"
            )


def other_groups(network: Network) -> str:
    """Return that recordings are not of the groups that hwnas tested; empty where it knew no groups."""
    if not network.groups:
        return ""
    column = f" of column {network.test_part['split_by']}" if network.test_part["groups_by"] == "column" else ""
    return f"hwnas tested the groups {shown_groups(network)}{column}"


def shown_groups(network: Network) -> str:
    """Return the first groups that hwnas tested the network on, with commas between."""
    return ", ".join([*network.groups[:MOST_GROUPS], *(["..."] if len(network.groups) > MOST_GROUPS else [])])


def labelled(path: Path, network: Network) -> tuple[list[Any], list[str], str]:
    """Return files, frames of clips or samples ready for the network, the class of each, and `other_groups`.

    Where hwnas tested the network on groups of recordings (speakers), those of these groups alone are returned. If
    there are none, or nothing tells them, all are, with a text that says which groups hwnas tested.
    """
    if path.is_dir() and (network.preparing is not None or network.signals is not None):
        parts = part_folders(path, network)
        root = next((parts[name] for name in ("test", "testing", "train", "training") if name in parts), path)
        tested = of_tested_groups(path, network)
        files, others = tested or in_classes(root, network), "" if tested else other_groups(network)
        if not files:
            what = "images" if network.preparing is not None else "recordings"
            raise InputError(f"{path} holds no class folders with {what}; it must hold <class>/* or test/<class>/*")
        if network.signals is not None:
            files = [(sample, name) for file, name in files for sample in samples_of(file, network)]
        return [file for file, _ in files], [name for _, name in files], others
    require_there([path])
    if path.is_dir():
        raise InputError(f"{path} is a folder, give an .npz file")
    if network.frames:
        arrays = load_arrays(path)
        x, y = labelled_keys(path, arrays)
        labels = arrays[y]
        if labels.shape != arrays[x].shape[:1] or not len(labels):
            raise InputError(f"{path}: must hold clips x_test and as many labels y_test, or x and y")
        return list(stored_clips(path, network, arrays, x)), [str(label) for label in labels], ""
    if network.preparing is not None:
        images, labels = labelled_pixels(path, network.preparing)
        return [ready(image, network.preparing) for image in images], [str(label) for label in labels], ""
    if network.signals is not None and path.suffix.lower() not in ARRAYS:
        raise InputError(f"{path} states no classes to test; give class folders (<class>/*) or an .npz file")
    arrays = load_arrays(path)
    of_groups = of_tested_arrays(path, arrays, network)
    if of_groups is not None:
        return list(of_groups[0]), [str(label) for label in of_groups[1]], ""
    labels = arrays[labelled_keys(path, arrays)[1]]
    samples = array_samples(path, arrays, network)
    if labels.shape != samples.shape[:1]:
        raise InputError(f"{path}: must hold as many labels y (or y_test) as samples x (or x_test)")
    return list(samples), [str(label) for label in labels], other_groups(network)


def test_accuracy(network: Network, path: Path, expected: dict[str, Any]) -> None:
    """Print the share of samples that are classified correctly, beside what hwnas found."""
    metric = expected.get("metric", {}).get("name", "accuracy")
    if not network.classes or metric != "accuracy":
        raise InputError(
            f"--test prints the accuracy, but the metric of this network is {metric}, which predict.py cannot compute; "
            "README.md beside it holds what hwnas found"
        )
    items, names, others = labelled(path, network)
    known = {unicodedata.normalize("NFC", name): name for name in network.classes}
    names = [known.get(unicodedata.normalize("NFC", name), name) for name in names]
    unknown = sorted(set(names) - set(network.classes))
    if unknown:
        raise InputError(f"{path}: the network knows no class {unknown[0]!r}; it knows {', '.join(network.classes)}")
    answers: list[str] = []
    for group in batches(items, network.batch):
        if isinstance(group[0], (Path, tuple)):
            assert network.preparing is not None
            group = [ready(sample, network.preparing) for sample in group]
        answers += [network.classes[int(index)] for index in network.infer(np.stack(group))[0].argmax(axis=1)]
    right = int((np.asarray(answers) == np.asarray(names)).sum())
    of_groups = f"; groups {shown_groups(network)}" if network.groups and not others else ""
    here = f"{right / len(items):.2%} ({right} of {len(items)}{of_groups})"
    print_figures("accuracy", here, ".2%", expected, len(items), others)


class Bound:
    """A session whose inputs and outputs are bound to memory that is allocated once, as hwnas times networks.

    Inputs are drawn from N(0, 1): zeros and denormals would distort times.
    """

    def __init__(self, session: Any) -> None:
        runtime, rng = load_runtime(), np.random.default_rng(0)
        self._session, self._binding, self._kept = session, session.io_binding(), []
        for tensor in session.get_inputs():
            value = runtime.OrtValue.ortvalue_from_numpy(rng.standard_normal(tensor.shape, dtype=np.float32))
            self._kept.append(value)
            self._binding.bind_ortvalue_input(tensor.name, value)
        for tensor in session.get_outputs():
            value = runtime.OrtValue.ortvalue_from_numpy(np.zeros(tensor.shape, dtype=np.float32))
            self._kept.append(value)
            self._binding.bind_ortvalue_output(tensor.name, value)

    def run(self, repeats: int) -> float:
        """Infer so many times; return the seconds of all together."""
        run, binding = self._session.run_with_iobinding, self._binding
        start = time.perf_counter()
        for _ in range(repeats):
            run(binding)
        return time.perf_counter() - start

    def sample(self) -> np.ndarray:
        """Return milliseconds of single inferences, each after some that bring the weights back into the caches."""
        self.run(1 + PRIMING_RUNS)
        times: list[float] = []
        began, spent = time.perf_counter(), 0.0
        while len(times) < FEWEST_ROUNDS or spent < (MOST_SECONDS if len(times) < ENOUGH_ROUNDS else LEAST_SECONDS):
            self.run(PRIMING_RUNS)
            times.append(1e3 * self.run(1))
            spent = time.perf_counter() - began
        return np.asarray(times)

    def after_pauses(self) -> float:
        """Return the median milliseconds of the first inference after a pause."""
        times = []
        for _ in range(PAUSES):
            time.sleep(PAUSE_SECONDS)
            times.append(1e3 * self.run(1))
        return float(np.median(times))


def expected_times(expected: dict[str, Any]) -> dict[str, float]:
    """Return the milliseconds that hwnas timed, by statistic."""
    latency = expected.get("latency_ms") or {}
    raw = latency.get("raw") or {latency.get("statistic", "q10"): latency.get("measured")}
    times = {**raw, AFTER_PAUSE: latency.get("after_pause")}
    return {name: float(value) for name, value in times.items() if value is not None}


def speed_text(slowness: float) -> str:
    """Return how fast a machine was that took so many times longer: ``12 % slower than``."""
    percent = round(100 * max(slowness - 1, 1 / slowness - 1), 2)
    if percent < 0.5:
        return "as fast as"
    number = f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}"
    return f"{number} % {'slower' if slowness > 1 else 'faster'} than"


def benchmark(network: Network, expected: dict[str, Any]) -> None:
    """Time the network as hwnas did, and print each figure beside hwnas's; then with ONNX Runtime's default threads."""
    options, known = network.metadata["session"], expected_times(expected)
    threads = options["intra_op_num_threads"]
    bound = Bound(network.session)
    times = bound.sample()
    here = {name: float(np.quantile(times, q)) for name, q in STATISTICS.items()}
    here[AFTER_PAUSE] = bound.after_pauses()
    print(
        f"{expected.get('arch', network.path)}: batch {network.batch}, {threads} thread{'s' * (threads > 1)}, "
        f"{options['provider']}, ONNX Runtime {load_runtime().__version__}, {len(times)} inferences"
    )
    if expected.get("measured_on"):
        print(f"hwnas: measured {expected['measured_on']}")
    elif (expected.get("latency_ms") or {}).get("predicted") is not None:
        latency = expected["latency_ms"]
        print(f"hwnas: predicted {latency['predicted']:.4g} ms from a latency table; it did not measure this network")
    print(f"{'statistic':<21}{'here, ms':>10}{'hwnas, ms':>11}{'difference':>12}")
    for name, value in here.items():
        other = (
            f"{known[name]:>11.4g}{100 * (value / known[name] - 1):>+10.1f} %"
            if name in known
            else f"{'-':>11}{'-':>12}"
        )
        print(f"{name:<21}{value:>10.4g}{other}")
    slowness = (expected.get("latency_ms") or {}).get("slowness")
    if slowness is not None:
        print(f"when hwnas timed the network, its machine was {speed_text(slowness)} when the latency table was made")
    del bound
    network.session = None  # its threads would spin beside those of the next session
    median = float(np.median(Bound(open_session(network.path, None)).sample()))
    print(f"with ONNX Runtime's default options: median {median:.4g} ms, {median / here['median']:.2f} times as long")


def read_expected(path: Path) -> dict[str, Any]:
    """Return hwnas's figures; nothing where the file is missing."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise InputError(f"{path} is damaged; remove it, or write the folder again") from None
    return values if isinstance(values, dict) else {}


OPTIONS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "top": (("classes",), {"type": int, "metavar": "N"}),
    "score": (("boxes",), {"type": float, "metavar": "S"}),
    "out": (("maps",), {"type": Path, "metavar": "FOLDER"}),
    "csv": (("classes", "boxes", "outputs"), {"type": Path, "metavar": "FILE"}),
    "test": (("classes", "maps"), {"type": Path, "metavar": "FOLDER"}),
}
"""Options that not every network takes: for which outputs (`outputs_of`), and what argparse needs."""
ABOUT = {
    "top": "print the N most probable classes of each sample (default 1)",
    "score": "least score of a box to print (default 0.3)",
    "out": "where maps are written (default maps)",
    "csv": "write the predictions into a CSV file, too",
    "test": "print the metric on labelled samples, beside what hwnas found",
}
BESIDE = Path(__file__).with_name("network.onnx")
GIVES = {"classes": "the class of a sample", "boxes": "boxes", "maps": "maps", "outputs": "other outputs"}


def outputs_of(network: Network) -> str:
    """Return what a network's outputs are: a key of `GIVES`."""
    if network.maps is not None:
        return "maps"
    return "boxes" if network.found else "classes" if network.classes else "outputs"


def inputs_text(network: Network | None) -> str:
    """Return what can be given to a network, or to any network for None."""
    if network is None:
        return "images, recordings, or folders of them or of frames; .npy or .npz for other samples"
    if network.frames:
        return "folders of frames, folders of such folders, or .npz files of clips"
    if network.signals is not None:
        source = {"wav": "WAV files, folders of them, or ", "csv": "CSV files, folders of them, or "}
        return source.get(network.signals["loading"]["source"], "") + ".npy or .npz files of signals"
    if network.maps is not None and not (network.maps["pixels"] and len(network.shape) == 3):
        return ".npy or .npz files of samples, channels first"
    if network.maps is not None:
        return "images or folders of them; .npy or .npz files of images, channels first"
    return "images or folders of them" if network.preparing is not None else ".npy or .npz files of samples"


def test_text(network: Network) -> str:
    """Return what `--test` reads and prints of a network."""
    if network.maps is None:
        return "print the accuracy on <class>/* in a folder, or on x_test and y_test of an .npz file"
    if network.maps["kind"] != "segmentation":
        return "print the relative L2 on x_test and y_test of an .npz file"
    return "print the mean IoU on images/* and masks/*.png in a folder, or on x_test and y_test of an .npz file"


def takers(name: str) -> str:
    """Return which networks an option is for."""
    return f"for networks that give {' or '.join(GIVES[kind] for kind in OPTIONS[name][0])}"


def make_parser(network: Network | None = None) -> argparse.ArgumentParser:
    """Return the parser of the command line, with the options of a network, or of all networks for None."""
    parser = argparse.ArgumentParser(description="Use, test or time the network beside this file.", allow_abbrev=False)
    parser.add_argument("inputs", nargs="*", type=Path, metavar="FILE", help=inputs_text(network))
    for name, (kinds, words) in OPTIONS.items():
        if network is None:
            parser.add_argument(f"--{name}", help=f"{ABOUT[name]}; {takers(name)}", **words)
        elif outputs_of(network) in kinds:
            parser.add_argument(f"--{name}", help=test_text(network) if name == "test" else ABOUT[name], **words)
    parser.add_argument("--benchmark", action="store_true", help="time the network, and compare with hwnas's figures")
    parser.add_argument("--model", type=Path, default=BESIDE, metavar="FILE", help="the ONNX file")
    return parser


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what the command line says; print the help of the network beside this file where that is asked for."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("-h", "--help", action="store_true")
    first.add_argument("--model", type=Path, default=BESIDE)
    known = first.parse_known_args(arguments)[0]
    parser = make_parser()
    if known.help:
        try:
            parser = make_parser(Network(known.model))
        except InputError as error:
            print(f"note: {error}; this is the help of all networks", file=sys.stderr)
    given = parser.parse_args(arguments)
    if (bool(given.inputs) + (given.test is not None) + given.benchmark) != 1:
        parser.error("give exactly one of: files, --test FOLDER, --benchmark")
    if given.csv is not None and not given.inputs:
        parser.error("--csv works only with files to predict; leave it out with --test and --benchmark")
    if given.top is not None and given.top < 1:
        parser.error(f"--top must be 1 or more, got {given.top}")
    return given


def require_taken(network: Network, given: argparse.Namespace) -> None:
    """Refuse options that have no meaning for a network; `--test` of other networks has an error of its own."""
    for name, (kinds, _) in OPTIONS.items():
        if name != "test" and getattr(given, name) is not None and outputs_of(network) not in kinds:
            mine = GIVES[outputs_of(network)]
            raise InputError(f"--{name} is {takers(name)}; this one gives {mine}, leave --{name} out")


def require_no_sample(table: Path | None, paths: Sequence[Path], network: Network) -> None:
    """Refuse a `--csv` that would replace a sample, or be one from then on."""
    if table is None:
        return
    place, suffixes = table.resolve(), suffixes_of(network)
    folders = [path.resolve() for path in paths if path.is_dir()]
    inside = not network.frames and place.suffix.lower() in suffixes and any(f in place.parents for f in folders)
    if inside or place in {path.resolve() for path in paths}:
        raise InputError(f"--csv {table} would be one of the samples; write it to another place")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names of files and classes may hold what a terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    given = parsed(sys.argv[1:] if arguments is None else arguments)
    try:
        network = Network(given.model)
        expected = read_expected(given.model.with_name("expected.json"))
        require_taken(network, given)
        require_no_sample(given.csv, given.inputs, network)
        if given.benchmark:
            benchmark(network, expected)
        elif given.test is not None and network.maps is not None:
            test_maps(network, given.test, expected)
        elif network.maps is not None:
            predict_maps(network, given.inputs, given.out or Path("maps"))
        elif given.test is not None:
            test_accuracy(network, given.test, expected)
        elif network.found:
            detect(network, given.inputs, 0.3 if given.score is None else given.score, given.csv)
        else:
            predict(network, given.inputs, given.top or 1, given.csv)
    except InputError as error:
        print(f"predict.py: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)

"""What the folder says to people and to pip: ``README.md``, ``requirements.txt`` and ``expected.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hwnas._common._text import first_of
from hwnas._runs._agreement import statistic_of
from hwnas._runs._delivered import samples_of, written_latency, written_ms, written_test
from hwnas._runs._metrics import metric_of, value_of
from hwnas._runs._options import LATENCY_STATISTICS
from hwnas._version import __version__

_MOST_GROUPS = 8
_RELEASE = re.compile(r"\d+(\.\d+)+\Z")
_PILLOW, _SCIPY, _NUMPY, _RUNTIME = "Pillow>=10", "scipy>=1.11", "numpy>=1.26", "onnxruntime>=1.18"


def expected_json(network: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """Return what hwnas found of a network, as `predict.py` shows it beside its own figures."""
    figures = {
        "id": network["id"],
        "arch": network["arch"],
        "metric": metric_of(network).as_dict(),
        "test": value_of(network, "test"),
        "test_samples": samples_of(network, "test"),
        "latency_ms": network["latency_ms"],
        "measured_on": device_text(metadata) if network["latency_ms"]["measured"] is not None else None,
        "hwnas": __version__,
    }
    return json.dumps(figures, indent=1) + "\n"


def requirements(metadata: Mapping[str, Any]) -> str:
    """Return the packages that `predict.py` needs: ONNX Runtime in the version that was measured."""
    device = metadata["device"]
    version = str(device.get("runtime_version", "")) if device.get("runtime") == "onnxruntime" else ""
    if _RELEASE.match(version):
        runtime = f"onnxruntime=={version}  # as measured; other versions work, and may take other times"
    else:
        runtime = f"{_RUNTIME}  # onnxruntime-gpu for an NVIDIA GPU" if device.get("gpu") else _RUNTIME
    if not reads_signals(metadata):
        return "\n".join([_NUMPY, runtime, _PILLOW, ""])
    reader = [_SCIPY] if metadata["preprocessing"]["loading"]["source"] == "wav" else []
    return "\n".join([_NUMPY, runtime, *reader, ""])


def reads_signals(metadata: Mapping[str, Any]) -> bool:
    """Return whether a network reads signals."""
    preparing = metadata.get("preprocessing")
    return isinstance(preparing, dict) and preparing.get("kind") == "signal"


def device_text(metadata: Mapping[str, Any]) -> str:
    """Return with what and where a network was measured: ``with ONNX Runtime 1.20.1 on cpu (EPYC), 1 thread, ...``."""
    device, session = metadata["device"], metadata["session"]
    runtime = {"onnxruntime": "ONNX Runtime", "torch": "PyTorch"}.get(device.get("runtime", ""), device.get("runtime"))
    chip = device.get("gpu") or device.get("cpu")
    place = f"{device['name']} ({chip})" if chip else str(device["name"])
    by = f"with {runtime} {device['runtime_version']} on" if runtime and "runtime_version" in device else "on"
    threads = session["intra_op_num_threads"]
    count = "" if device.get("gpu") else f", {threads} thread{'s' * (threads > 1)}"
    return f"{by} {place}{count}, batch {session['batch']}, {session['precision']}"


def readme(network: Mapping[str, Any], metadata: Mapping[str, Any], picked: str) -> str:
    """Return the page for the engineer who deploys the network.

    Args:
        network: Its entry of ``pareto.json``.
        metadata: Its file's metadata.
        picked: Why it was picked among the networks of its run, as `pick_text` says it.
    """
    lines = [
        f"# {network['id']}: {network['arch']}",
        "",
        f"- **Network**: `network.onnx`, {_network_text(metadata)}; its metadata hold everything that follows from it.",
        f"- **Test {metric_of(network).text}**: {written_test(network)}"
        + (f" on {count} samples" if (count := samples_of(network, "test")) else "")
        + f"{_test_groups(metadata)}.",
        f"- **Latency**: {_latency_text(network)} {device_text(metadata)}.{_at_table_speed(network)}",
        f"- **Session options**: {_session_text(metadata)}",
        "- **Install**: `pip install -r requirements.txt`; `predict.py` needs Python 3.9 or later, not hwnas. "
        "On a Python too old for this version of ONNX Runtime, take another version; its latency may differ.",
        f"- **Run**: {_run_text(metadata)}",
        "- **Check**: `python predict.py --benchmark` times it as hwnas did, beside hwnas's figures"
        + (_test_text(network, metadata)),
        f"- **Picked**: {picked}. For another network of the run: `hwnas export RUN --pick NAME --deploy FOLDER` "
        "(fastest, knee, best or an id).",
    ]
    return "\n".join([*lines, ""])


def _test_text(network: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """Return how the folder tests its network, as the end of a sentence."""
    if "dense" in metadata:
        return f"; `python predict.py --test FOLDER` (or an `.npz` file) prints the {metric_of(network).text}."
    judged = "classes" in metadata and "detections" not in metadata
    if judged and reads_signals(metadata):
        return "; `python predict.py --test FOLDER` (class folders, or an `.npz` file with labels) prints the accuracy."
    return "; `python predict.py --test FOLDER` prints the accuracy." if judged else "."


def _test_groups(metadata: Mapping[str, Any]) -> str:
    """Return which groups of recordings the test part was, as the end of a sentence."""
    part = metadata.get("test_part")
    groups = part.get("groups") if isinstance(part, dict) else None
    return f", the groups {first_of(groups, _MOST_GROUPS)}" if groups else ""


def _network_text(metadata: Mapping[str, Any]) -> str:
    session, classes = metadata["session"], metadata.get("classes")
    known = f"{len(classes)} classes, " if isinstance(classes, list) else ""
    preparing = metadata.get("preprocessing")
    size = preparing.get("size") if isinstance(preparing, dict) else None
    frames = preparing.get("frames") if isinstance(preparing, dict) else None
    what = f"clips of {frames} frames" if frames else "images"
    samples = f"{what} of {size}x{size} pixels, " if size else ""
    if reads_signals(metadata):
        samples = f"{_signals_text(metadata['preprocessing']['loading'])}, "
    return f"{known}{samples}{session['precision']}, {session['batch']} in a batch"


def _latency_text(network: Mapping[str, Any]) -> str:
    """Return the latency by statistic where it is known so, else the one that the run holds, and how it was found."""
    latency = network["latency_ms"]
    if latency["measured"] is None:
        return f"{written_latency(network)}; its latency table was made from measurements"
    raw = latency.get("raw")
    if not isinstance(raw, dict) or not raw:
        measured = written_ms(latency["measured"], latency.get("measured_half_width"))
        return f"{measured} ({statistic_of(latency)}), measured"
    texts = [f"{name} {raw[name]:.4g} ms" for name in LATENCY_STATISTICS if raw.get(name) is not None]
    if latency.get("after_pause") is not None:
        texts.append(f"first inference after a pause of 1 s {latency['after_pause']:.4g} ms")
    return f"{', '.join(texts)}; measured"


def _at_table_speed(network: Mapping[str, Any]) -> str:
    """Return a sentence with the latency at the table's speed; nothing where that is not known."""
    latency = network["latency_ms"]
    if latency["measured"] is None or latency.get("slowness") is None:
        return ""
    value = f"{latency['statistic']} {latency['measured']:.4g} ms"
    return f" At the table's speed, by which hwnas judges budgets: {value}."


def _session_text(metadata: Mapping[str, Any]) -> str:
    session, device = metadata["session"], metadata["device"]
    if device.get("runtime") == "torch" or session["provider"].startswith("CUDA"):
        return (
            "the measured figures are PyTorch's on that GPU. `predict.py` uses ONNX Runtime: its CUDA provider where "
            "`onnxruntime-gpu` is installed, else the CPU, and takes other times."
        )
    return (
        f"`intra_op_num_threads={session['intra_op_num_threads']}`, `inter_op_num_threads="
        f"{session['inter_op_num_threads']}`, `{session['execution_mode']}`, `{session['graph_optimization_level']}`, "
        f"`{session['provider']}`. Set them in your program, too: by default ONNX Runtime starts a thread for "
        "each core, and small networks then take much longer."
    )


def _signals_text(loading: Mapping[str, Any]) -> str:
    """Return what signals a network was trained on: ``signals of 8000 samples at 8000 Hz, 1 channel``."""
    rate = f" at {loading['rate']} Hz" if loading["rate"] else ""
    channels = loading["channels"]
    return f"signals of {loading['length']} samples{rate}, {channels} channel{'s' * (channels != 1)}"


def _run_text(metadata: Mapping[str, Any]) -> str:
    if "dense" in metadata:
        channels = len(metadata["dense"]["mean"])
        if metadata["dense"]["kind"] == "segmentation" and metadata["dense"]["pixels"] and channels in (1, 3):
            return "`python predict.py image.png --out FOLDER` writes a PNG of class indices; also folders of images."
        return "`python predict.py samples.npz --out FOLDER` reads `x`, channels first, and writes the maps as `y`."
    if isinstance(metadata.get("preprocessing"), dict) and "frames" in metadata["preprocessing"]:
        return (
            "`python predict.py clip/` prints class and probability of a folder of frames; also folders of such "
            "folders, `.npz` files, `--top N`, `--csv FILE`."
        )
    if reads_signals(metadata):
        source = metadata["preprocessing"]["loading"]["source"]
        file = {"wav": "recording.wav", "csv": "recording.csv"}.get(source, "signals.npy")
        printed = "class and probability" if "classes" in metadata else "the value"
        each = "each window" if metadata["preprocessing"]["loading"]["window"] else "each signal"
        return f"`python predict.py {file}` prints {printed} of {each}; also folders, `--csv FILE`."
    if isinstance(metadata.get("preprocessing"), dict) and "mean" in metadata["preprocessing"]:
        if "detections" in metadata:
            return "`python predict.py image.png` prints boxes in pixels; also folders, `--score S`, `--csv FILE`."
        return "`python predict.py image.png` prints class and probability; also folders, `--top N`, `--csv FILE`."
    return (
        "`python predict.py samples.npy`. The samples are not images: give arrays of inputs as the network reads them "
        "(`.npy`, or `x` in an `.npz` file); it prints the outputs."
    )

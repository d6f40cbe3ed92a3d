"""What an ONNX file says of how it is measured: session options, and the device."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hwnas._errors import RunError
from hwnas._runs._settings import SearchSettings

_SCALED = re.compile(r"scale the shorter side to (\d+) pixels")
_DEVICE_FACTS = ("device", "cpu", "gpu", "system", "runtime", "runtime_version", "mode", "threads", "batch", "dtype")
"""The facts of a latency table's identity that people need to know of the device."""


def measurement_metadata(settings: SearchSettings, identity: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what every delivered ONNX file says of how and where it is measured.

    Args:
        settings: Settings of the search.
        identity: What the latency table is valid for; None without one.

    Returns:
        JSON texts: ``hwnas.session``, the options of the sessions in which the file is measured, and ``hwnas.device``.
    """
    from hwnas._tables._fit import PROTOCOL as FITTED
    from profilers import full_provider_name, session_options

    known = identity or {}  # a device that is given as an object has other options than the settings
    on_gpu = "cuda" in (settings.device.partition(":")[0], known.get("device"))
    provider = "CUDAExecutionProvider" if on_gpu else full_provider_name(known.get("provider") or settings.provider)
    options = session_options(threads=known.get("threads") or settings.threads, provider=provider)
    session = {**options, "batch": settings.batch, "precision": settings.precision}
    facts = {name: known[name] for name in _DEVICE_FACTS if name in known}
    name = known["device"] if known.get("protocol") == FITTED and "device" in known else settings.device
    return {"hwnas.session": json.dumps(session), "hwnas.device": json.dumps({**facts, "name": name})}


def completed(content: bytes, settings: SearchSettings) -> tuple[bytes, dict[str, Any]]:
    """Return an ONNX file with the metadata that `predict.py` reads, and the metadata by name.

    Files of this version have them and are returned as they are; those of earlier versions lack some.

    Args:
        content: The file.
        settings: Settings of the search that delivered it.

    Raises:
        RunError: It is not an ONNX file.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception:  # protobuf's exceptions depend on its implementation
        raise RunError(
            "the network's file is not an ONNX file; run the same `hwnas search` again to rewrite it"
        ) from None
    texts = {item.key: item.value for item in model.metadata_props}
    if "hwnas.session" not in texts:
        texts = {**texts, **measurement_metadata(settings, None)}
        if "hwnas.preprocessing" in texts:
            texts["hwnas.preprocessing"] = json.dumps(_with_image_size(_read(texts["hwnas.preprocessing"])))
        onnx.helper.set_model_props(model, texts)
        content = bytes(model.SerializeToString())
    values = {key.removeprefix("hwnas."): text for key, text in texts.items()}
    return content, {name: _read(text) for name, text in values.items()}


def _with_image_size(preparing: Any) -> Any:
    """Return preprocessing with the size that images were loaded at, which earlier versions stated in words alone."""
    if not isinstance(preparing, dict) or "image_size" in preparing:
        return preparing
    sizes = [match[1] for step in preparing.get("steps", ()) if (match := _SCALED.match(str(step)))]
    return {**preparing, "image_size": int(sizes[0]) if sizes else None}


def _read(text: str) -> Any:
    """Return the value of a JSON text; other texts as they are."""
    try:
        return json.loads(text)
    except ValueError:
        return text

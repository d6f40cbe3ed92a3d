"""Whether a search is the one that a run holds: its settings, and what these stand for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas._errors import RunError
from hwnas._runs._settings import SearchSettings
from hwnas._runs._several import without_paths
from hwnas.spaces import first_difference
from hwnas.tasks import usual_task

_OF_IMAGES = ("mobilenetv3", "nasbench201")
"""Spaces whose networks read images alone."""
_MAY_CHANGE = ("samples", "budgets", "table", "finalize", "final_recipe", "warm_start")
_BY_CONTENT = ("weights", "model")
"""Files that may have other names: the identity says what they hold."""
_OF_WEIGHTS = ("weights", "evaluator.weights", "cheap.weights")
"""Facts of an identity that say what the file of `--weights` holds."""
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


def require_same_search(
    path: Path,
    before: SearchSettings,
    settings: SearchSettings,
    identity_before: Mapping[str, Any] | None,
    identity: Mapping[str, Any],
) -> None:
    """Refuse to continue the run in folder `path` with another search.

    Args:
        path: The run's folder.
        before: The run's settings.
        settings: The search's settings.
        identity_before: What the run's settings stand for; None where the search does not know its own identity yet.
        identity: What the search's settings stand for.

    Raises:
        RunError: Naming the first setting or fact that differs.
    """
    old, new = (json.loads(json.dumps(part.as_dict())) for part in (before, settings))
    for part in (old, new):
        part["devices"] = without_paths(part.get("devices") or {})  # the same devices, wherever their tables are
    content = _data_content(identity)
    _refuse_model(path, old, new)
    for name in new:
        if name == "data" and (
            identity_before is None or (content is not None and content == _data_content(identity_before))
        ):
            continue  # the same data, wherever they are
        if name in _BY_CONTENT and old.get(name) is not None and new[name] is not None:
            continue
        if name == "task" and _are_images(path, before, settings):
            continue
        if name == "train_precision" and old.get(name) == "auto":
            continue  # nothing was trained yet
        if name not in _MAY_CHANGE and old.get(name) != new[name]:
            _refuse_declaration(path, old.get(name), new[name])
            what, there, here = _difference(name, old.get(name), new[name])
            raise RunError(f"{path} contains a search with {what} {there}, this one has {here}; choose another --out")
    if identity_before is None:
        return
    for name, there, here in differences(identity_before, identity):
        if name in ("cheap.precision", "evaluator.precision") and there == "null":
            raise RunError(
                f"{path} contains a search whose trials have the metric of fp32 networks, as earlier versions of hwnas "
                f"evaluated them; this one evaluates {json.loads(here)} networks, choose another --out"
            )
        if name in _OF_WEIGHTS:
            raise RunError(
                f"{path} contains a search that starts from another file of --weights; give the same file or choose "
                "another --out"
            )
        raise RunError(
            f"{path} contains a search with {name} {there}, this one has {here}; the data or the defaults "
            "have changed, choose another --out"
        )


def _are_images(path: Path, before: SearchSettings, settings: SearchSettings) -> bool:
    """Return whether two searches have the task image, one of them because its data are, or were, made for it.

    A run without a task whose space is one of images read its data as images, whatever they look like now.

    Raises:
        RunError: The run began when all data were read as images, and its data now look like something else.
    """
    if (before.task, settings.task) == (None, "image"):
        return before.space in _OF_IMAGES
    if (before.task, settings.task) != ("image", None):
        return False
    task = usual_task(settings.data, settings.data_options)
    if task != before.task:
        raise RunError(
            f"{path} contains a search with task image, and the data {settings.data} would now be read for task "
            f"{task}; give --task image, or choose another --out"
        )
    return True


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return facts in which two identities differ: dotted name, and both values as short texts."""
    old, new = flat(there), flat(here)
    return [
        (name, shortened(old.get(name)), shortened(new.get(name)))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _difference(name: str, before: object, now: object) -> tuple[str, str, str]:
    """Return what differs in a setting, and both values: the whole setting, or a part where the whole is too long."""
    short = shortened(before), shortened(now)
    if (json.dumps(before), json.dumps(now)) == short:
        return (name, *short)
    if isinstance(before, dict) and isinstance(now, dict) and set(before) != set(now) and _holds_more(before, now):
        return name, ", ".join(sorted(before)), ", ".join(sorted(now))
    leaves = differences({name: before}, {name: now})
    return leaves[0] if leaves else (name, *short)


def _holds_more(*settings: Mapping[str, Any]) -> bool:
    """Return whether all values of settings are settings themselves, as of devices by their names."""
    return all(isinstance(value, dict) for values in settings for value in values.values())


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return leaves


def shortened(value: object) -> str:
    """Return as much of a value as fits into a line."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _data_content(identity: Mapping[str, Any]) -> str | None:
    """Return the fingerprint of the data in an identity; None where it has none."""
    facts = flat(identity)
    fingerprint = facts.get("data", facts.get("evaluator.data"))
    return fingerprint if isinstance(fingerprint, str) and _SHA256.match(fingerprint) else None


def _refuse_model(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse another file of `--model`, or other options of its space, which is too long to be shown.

    Raises:
        RunError: Settings of the derived space differ.
    """
    if old.get("model") is None or new.get("model") is None:
        return
    before, now = old["space_settings"], new["space_settings"]
    if before.get("sha256") != now.get("sha256"):
        raise RunError(
            f"{path} contains a search with another file of --model; give the same file or choose another --out"
        )
    for name in now:
        if before.get(name) != now[name]:
            raise RunError(
                f"{path} contains a search with --space-option {name}={shortened(before.get(name))}, this one has "
                f"{shortened(now[name])}; choose another --out"
            )


def _refuse_declaration(path: Path, before: object, now: object) -> None:
    """Refuse another declaration of a space by the place where it differs.

    Raises:
        RunError: Settings of a space differ in its declaration.
    """
    old, new = (settings.get("declaration") if isinstance(settings, dict) else None for settings in (before, now))
    if isinstance(old, dict) and isinstance(new, dict) and old != new:
        raise RunError(
            f"{path} contains a search with another declaration of its space (they differ at "
            f"{first_difference(old, new)}); restore the file or choose another --out"
        )

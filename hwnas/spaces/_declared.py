"""`declared`: a space that a JSON file states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hwnas._errors import SpaceError
from hwnas.spaces._base import MOST_NETWORKS
from hwnas.spaces._checked_json import Checked
from hwnas.spaces._choice_graph import ChoiceGraph
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._declaration import checked_settings, declared_graph, require_format
from hwnas.spaces._task import Task


class DeclaredSpace(ChoiceGraphSpace):
    """A space that is declared in JSON (see docs/declared-spaces.md).

    Args:
        declaration: The content of the file.
        settings: Values that take the place of the declared settings' defaults.

    Raises:
        SpaceError: Naming the place in the declaration, what is wrong there and what would be right.
    """

    name = "declared"
    most_forms = 100_000

    def __init__(self, declaration: Mapping[str, Any], **settings: object) -> None:
        content = Checked(declaration, "space")
        require_format(content)
        self.title: str = declaration["name"]
        self._content = Checked(declaration, f"space {self.title}")
        self._values = checked_settings(self._content, settings)
        self._require_networks()

    @property
    def settings(self) -> dict[str, object]:
        """The declaration, and a value for each of its settings."""
        return {"declaration": self._content.value, **self._values}

    @classmethod
    def defaults_from(cls, task: Task, chosen: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return values for the settings ``classes``, ``image_channels`` and ``image_size``, where they are declared.

        Args:
            task: What the network is for.
            chosen: Settings that are chosen already, the declaration among them.
        """
        declaration = (chosen or {}).get("declaration")
        declared = declaration.get("settings") if isinstance(declaration, Mapping) else None
        if not isinstance(declared, Mapping):
            return {}
        offered = {"classes": task.outputs, "image_channels": task.input_shape[0]}
        if len(task.input_shape) > 1:
            offered["image_size"] = min(task.input_shape[1:])
        return {name: value for name, value in offered.items() if name in declared}

    def state(self) -> ChoiceGraph:
        """State the declared graph."""
        return declared_graph(self._content, self._values)

    def _require_networks(self) -> None:
        """Make every op once, and look for a network; a space without any would be searched for ever."""
        assert self._tables
        count = math.prod(self.cardinalities)
        if count <= MOST_NETWORKS:
            rows = np.indices(self.cardinalities).reshape(len(self.choices), count).T
        else:
            rows = np.random.default_rng(0).integers(0, self.cardinalities, size=(MOST_NETWORKS, len(self.choices)))
        if not self.valid_codes(rows).any():
            raise SpaceError(f"space {self.title}: no path leads from the input to {self.choice_graph.output}")

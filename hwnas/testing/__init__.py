"""Contract suites: what every plug-in must keep, as functions for the tests of whoever writes one.

Each check takes what you wrote, uses it as hwnas would, and raises `AssertionError` with one line that names the fault.
hwnas's own operators, spaces, tasks, metrics, strategies, one-shot methods, evaluators, costs and CPU back end pass the
same checks.

Examples:
    >>> import hwnas, hwnas.testing
    >>> hwnas.testing.check_metric(hwnas.Metric("error", "min", unit="mm", low=0.0))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.testing._backends import check_backend
    from hwnas.testing._costs import check_cost
    from hwnas.testing._evaluators import check_evaluator
    from hwnas.testing._leaf_samplers import check_leaf_sampler
    from hwnas.testing._oneshot import check_one_shot_method
    from hwnas.testing._operators import check_operator
    from hwnas.testing._spaces import check_space
    from hwnas.testing._strategies import check_strategy
    from hwnas.testing._tasks import check_metric, check_task

_MODULE_OF = {
    "check_backend": "hwnas.testing._backends",
    "check_cost": "hwnas.testing._costs",
    "check_evaluator": "hwnas.testing._evaluators",
    "check_leaf_sampler": "hwnas.testing._leaf_samplers",
    "check_metric": "hwnas.testing._tasks",
    "check_one_shot_method": "hwnas.testing._oneshot",
    "check_operator": "hwnas.testing._operators",
    "check_space": "hwnas.testing._spaces",
    "check_strategy": "hwnas.testing._strategies",
    "check_task": "hwnas.testing._tasks",
}

__all__ = [
    "check_backend",
    "check_cost",
    "check_evaluator",
    "check_leaf_sampler",
    "check_metric",
    "check_one_shot_method",
    "check_operator",
    "check_space",
    "check_strategy",
    "check_task",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hwnas.testing' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

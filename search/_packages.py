"""Packages that only some strategies need."""

from __future__ import annotations

from importlib.util import find_spec

from search._errors import SearchError

__all__ = ["require_package"]


def require_package(package: str, user: str, extra: str = "") -> None:
    """Raise an error where a package is not installed.

    Args:
        package: Name of the package, as imports spell it.
        user: What needs it, for the error.
        extra: Extra of hwnas that installs it; empty where hwnas always requires it.

    Raises:
        SearchError: The package is not installed.
    """
    if find_spec(package) is None:
        target = f"'hwnas[{extra}]'" if extra else package
        raise SearchError(f"{user} needs the package {package}; run: pip install {target}")

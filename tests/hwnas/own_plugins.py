"""Distributions that bring plug-ins: a folder of metadata with entry points."""


def install(site, name, points):
    """Install a distribution without a file of code.

    Args:
        site: The folder to install into; it goes onto the path.
        name: Name of the distribution, of version 1.0.
        points: By group, as ``"spaces"`` or ``"operators"``: the value of each entry point by its name.
    """
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, values in points.items()
        for line in (f"[hwnas.{group}]", *(f"{word} = {value}" for word, value in values.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")

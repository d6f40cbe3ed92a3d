"""The table of the comparison of derived spaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import mean
from typing import Any

from _derived_jobs import METHODS

Row = Mapping[str, Any]


def rows_of(networks: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a row for each base, budget and method: means over seeds, and each seed's accuracy.

    Args:
        networks: One entry for each network, with `base`, `share`, `method`, `test`, `ms`, `low_ms`, `high_ms`,
            `ratio`, `macs`, `params`, `images` and `passes`.
    """
    groups: dict[tuple[str, float, str], list[Row]] = {}
    for network in networks:
        groups.setdefault((network["base"], network["share"], network["method"]), []).append(network)
    rows = []
    for (base, share, method), group in groups.items():
        numbers = ("test", "validation", "ms", "low_ms", "high_ms", "ratio", "macs", "params", "images", "passes")
        means = {name: mean(network[name] for network in group) for name in numbers}
        row = {"base": base, "share": share, "method": method, **means, "tests": [network["test"] for network in group]}
        rows.append(row)
    order = list(METHODS)
    return sorted(rows, key=lambda row: (row["base"], -row["share"], order.index(row["method"])))


def merged(tables: Sequence[Row]) -> dict[str, Any]:
    """Join tables of one comparison that were made at different times.

    Args:
        tables: As `bench_derived.py --json` writes them: other seeds, or other bases.

    Returns:
        One such table. Numbers of a base are means, its `tests` are the different ones and its `scale` says how much
        was done; settings are the last one's.
    """
    networks = [{**network, "table": i} for i, table in enumerate(tables) for network in table["networks"]]
    names = list(dict.fromkeys(name for table in tables for name in table["bases"]))
    bases, left = {}, 0
    for name in names:
        holding = [table for table in tables if name in table["bases"]]
        group = [table["bases"][name] for table in holding]
        numbers = [key for key, value in group[0].items() if isinstance(value, (int, float))]
        bases[name] = {key: mean(base[key] for base in group) for key in numbers}
        bases[name]["tests"] = list(dict.fromkeys(base["test"] for base in group))  # mostly it is one base
        bases[name]["scale"] = holding[-1]["settings"]["scale"]
        trained = [sum(network["base"] == name for network in table["networks"]) for table in holding]
        # a base's table without the networks of other bases counts all seeds, those of the other tables too
        left += max(table["left"] + count for table, count in zip(holding, trained, strict=True)) - sum(trained)
    kinds = dict.fromkeys(kind for table in tables for kind in table["core_hours"])
    return {
        **tables[-1],
        "bases": bases,
        "networks": networks,
        "rows": rows_of(networks),
        "leads": leads(rows_of(networks)),
        "misleading_macs": misleading(networks),
        "left": left,
        "core_hours": {kind: sum(table["core_hours"].get(kind, 0.0) for table in tables) for kind in kinds},
    }


def misleading(networks: Sequence[Row]) -> list[dict[str, Any]]:
    """Return pairs of networks of one base of which the one with fewer MACs is really slower; the worst first.

    A difference is real where the intervals of the latencies do not meet. Networks of tables that were `merged` are
    compared within their own table alone: they were measured in the same rounds.
    """
    pairs = []
    for first, second in combinations(networks, 2):
        few, many = sorted((first, second), key=lambda network: network["macs"])
        if (
            any(few.get(name) != many.get(name) for name in ("base", "table"))
            or few["macs"] >= many["macs"]
            or few["low_ms"] <= many["high_ms"]
        ):
            continue
        gain = {"macs": few["macs"] / many["macs"], "latency": few["ms"] / many["ms"]}
        pairs.append({"base": few["base"], "fewer_macs": few["name"], "faster": many["name"], **gain})
    return sorted(pairs, key=lambda pair: pair["macs"] / pair["latency"])


def leads(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return by how many points hwnas is ahead of each rival at each budget, in the mean over seeds."""
    tests = {(row["base"], row["share"], row["method"]): row["test"] for row in rows}
    return [
        {"base": base, "share": share, "rival": method, "points": 100 * (tests[base, share, "ours"] - test)}
        for (base, share, method), test in tests.items()
        if method != "ours" and (base, share, "ours") in tests
    ]


def markdown(bases: Mapping[str, Row], networks: Sequence[Row]) -> str:
    """Return the whole comparison as a page.

    Args:
        bases: Measured bases by name, with the numbers of a network.
        networks: As for `rows_of`.
    """
    rows, lines = rows_of(networks), [_HEAD, _RULE]
    for name in sorted(bases):
        base = bases[name]
        lines.append(_line(f"**{name}**", "the base", base, "100 %"))
        lines += [
            _line(f"{name}, {row['share']:.0%}", METHODS[row["method"]], row, f"{row['ratio']:.1%}")
            for row in rows
            if row["base"] == name
        ]
    lines += ["", "Ahead of the rivals, in points of test accuracy (mean over seeds):", ""]
    lines += [
        f"* {lead['base']}, {lead['share']:.0%}: {lead['points']:+.2f} against *{METHODS[lead['rival']]}*"
        for lead in leads(rows)
    ]
    lines += ["", *_where_macs_lie(networks)]
    return "\n".join(lines) + "\n"


_HEAD = "| budget | network | test accuracy (seeds) | latency (90 % interval) | of base | MACs | parameters | images |"
_RULE = "|---|---|---|---|---|---|---|---|"


def _line(first: str, second: str, row: Row, ratio: str) -> str:
    seeds = "" if len(row.get("tests", ())) < 2 else f" ({', '.join(f'{100 * test:.2f}' for test in row['tests'])})"
    latency = f"{row['ms']:.3f} ms ({row['low_ms']:.3f}-{row['high_ms']:.3f})"
    passes = "" if row["passes"] == row["images"] else f" ({row['passes'] / 1e3:,.0f} k passes)"
    sizes = f"{row['macs'] / 1e6:.2f} M | {row['params'] / 1e3:.1f} k | {row['images'] / 1e3:,.0f} k{passes}"
    return f"| {first} | {second} | {row['test']:.2%}{seeds} | {latency} | {ratio} | {sizes} |"


def _where_macs_lie(networks: Sequence[Row]) -> list[str]:
    pairs = misleading(networks)
    if not pairs:
        return ["MACs order all pairs of networks as their measured latencies do, or the latencies are too close."]
    worst = pairs[0]
    return [
        f"MACs mislead in {len(pairs)} pairs of networks of one base: fewer MACs, and yet really slower. The worst: "
        f"`{worst['fewer_macs']}` has {worst['macs']:.0%} of the MACs of `{worst['faster']}` and takes "
        f"{worst['latency']:.0%} of its time."
    ]

"""Tables of made-up prices, with all that a price may depend on."""

import numpy as np

from latency_tables import SESSION, CacheCurve, Entry, LatencyTable, NetworkMeasurement, crossing_op


def made_table(space, sides, seed=0):
    """Random prices, a cache curve and a correction; with sides, most ops have a side and most shapes a crossing."""
    rng = np.random.default_rng(seed)

    def entry(op, **facts):
        ms = float(rng.uniform(0.01, 0.1))
        return Entry(op, "ok", ms, ms, ms, ms, ms, 20, "converged", **facts)

    entries = {SESSION: entry(SESSION, activation_bytes=100)}
    for op in space.ops():
        bytes_moved = {"weight_bytes": int(rng.integers(1, 5000)), "activation_bytes": int(rng.integers(1, 5000))}
        side = None if sides is None or rng.random() < 0.2 else bool(rng.random() < 0.5)
        entries[op] = entry(op, kernels=int(rng.integers(1, 4)), on_one_core=side, **bytes_moved)
    if sides is not None:
        shapes = {shape for op in space.ops() for shape in (*op.inputs, op.output)}
        entries |= {crossing_op(shape): entry(crossing_op(shape)) for shape in sorted(shapes) if rng.random() < 0.9}
    networks = [NetworkMeasurement(f"n{i}", "calibration", 1.0 + i, 1.2 * (1 + i), 1.2 * (1 + i)) for i in range(10)]
    return LatencyTable(
        identity={"threads": 1 if sides is None else 2},
        environment={},
        settings={},
        space={"name": space.name, "settings": space.settings},
        entries=entries,
        networks=tuple(networks),
        cache=CacheCurve(500, (0.0, 20_000.0, 60_000.0), (0.0, 0.0, 0.5)),
    )

"""Latency tables: measured prices of operators on one device, and what a network costs by them."""

from latency_tables._agreement import Agreement, NoiseFloor, agreement, noise_floor, rank_correlations
from latency_tables._cache import CacheCurve
from latency_tables._content import content_hash, read_json, strict_json
from latency_tables._core_crossing import (
    CORE_CROSSING,
    Crossings,
    Holders,
    count_core_crossings,
    crossing_op,
    trace_core_crossings,
)
from latency_tables._correction import Correction, fit_correction, predictive_spread
from latency_tables._entry import SESSION, Entry
from latency_tables._errors import (
    GraphError,
    IdentityMismatchError,
    LatencyTableError,
    TableFormatError,
    UnmeasuredOpError,
)
from latency_tables._files import (
    ForeignJournalError,
    JournalInUseError,
    LineJournal,
    NotAFileError,
    append_bytes,
    is_private,
    open_regular,
    read_regular,
    rename,
    require_place,
    write_atomic,
)
from latency_tables._grade import GOOD, SHAKY, UNUSABLE, Grade
from latency_tables._graph import INPUT, GraphBuilder, Node, OpGraph
from latency_tables._interval import Interval
from latency_tables._measurement import (
    CORRECTION_SPLIT,
    HELD_OUT_SPLIT,
    INTERVAL_SPLIT,
    NetworkMeasurement,
)
from latency_tables._merge import merge_tables
from latency_tables._op import AttributeValue, Op, Shape, sorted_attributes
from latency_tables._price import Price
from latency_tables._pricing import OVERHEADS, Breakdown, PartCosts, Pricing, Tangent
from latency_tables._table import LatencyTable, dump_table, load_table, parse_table, save_table
from latency_tables._validation import EndError, ValidationReport

__all__ = [
    "CORE_CROSSING",
    "CORRECTION_SPLIT",
    "GOOD",
    "HELD_OUT_SPLIT",
    "INPUT",
    "INTERVAL_SPLIT",
    "OVERHEADS",
    "SESSION",
    "SHAKY",
    "UNUSABLE",
    "Agreement",
    "AttributeValue",
    "Breakdown",
    "CacheCurve",
    "Correction",
    "Crossings",
    "EndError",
    "Entry",
    "ForeignJournalError",
    "Grade",
    "GraphBuilder",
    "GraphError",
    "Holders",
    "IdentityMismatchError",
    "Interval",
    "JournalInUseError",
    "LatencyTable",
    "LatencyTableError",
    "LineJournal",
    "NetworkMeasurement",
    "Node",
    "NoiseFloor",
    "NotAFileError",
    "Op",
    "OpGraph",
    "PartCosts",
    "Price",
    "Pricing",
    "Shape",
    "TableFormatError",
    "Tangent",
    "UnmeasuredOpError",
    "ValidationReport",
    "agreement",
    "append_bytes",
    "content_hash",
    "count_core_crossings",
    "crossing_op",
    "dump_table",
    "fit_correction",
    "is_private",
    "load_table",
    "merge_tables",
    "noise_floor",
    "open_regular",
    "parse_table",
    "predictive_spread",
    "rank_correlations",
    "read_json",
    "read_regular",
    "rename",
    "require_place",
    "save_table",
    "sorted_attributes",
    "strict_json",
    "trace_core_crossings",
    "write_atomic",
]

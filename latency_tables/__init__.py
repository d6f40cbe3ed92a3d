"""Latency tables: measured prices of operators on one device, and what a network costs by them."""

from latency_tables._cache import CacheCurve
from latency_tables._calibration import Calibration
from latency_tables._content import content_hash, read_json, strict_json
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
    is_private,
    open_regular,
    read_regular,
    rename,
    require_place,
    write_atomic,
)
from latency_tables._format import dump_table, load_table, parse_table, save_table
from latency_tables._grade import GOOD, SHAKY, UNUSABLE, Grade
from latency_tables._graph import INPUT, GraphBuilder, Node, OpGraph
from latency_tables._handover import HANDOVER, count_handovers
from latency_tables._interval import Interval
from latency_tables._merge import merge_tables
from latency_tables._op import AttributeValue, Op, Shape, sorted_attributes
from latency_tables._table import OVERHEADS, SESSION, Entry, LatencyTable, Price
from latency_tables._validation import (
    Agreement,
    EndError,
    NetworkMeasurement,
    NoiseFloor,
    ValidationReport,
    agreement,
    noise_floor,
    rank_correlations,
)

__all__ = [
    "GOOD",
    "HANDOVER",
    "INPUT",
    "OVERHEADS",
    "SESSION",
    "SHAKY",
    "UNUSABLE",
    "Agreement",
    "AttributeValue",
    "CacheCurve",
    "Calibration",
    "EndError",
    "Entry",
    "ForeignJournalError",
    "Grade",
    "GraphBuilder",
    "GraphError",
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
    "Price",
    "Shape",
    "TableFormatError",
    "UnmeasuredOpError",
    "ValidationReport",
    "agreement",
    "content_hash",
    "count_handovers",
    "dump_table",
    "is_private",
    "load_table",
    "merge_tables",
    "noise_floor",
    "open_regular",
    "parse_table",
    "rank_correlations",
    "read_json",
    "read_regular",
    "rename",
    "require_place",
    "save_table",
    "sorted_attributes",
    "strict_json",
    "write_atomic",
]

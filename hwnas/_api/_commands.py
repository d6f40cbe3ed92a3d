"""Every command: its options, its help, and the function of `hwnas` that does its work. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hwnas._common._option import NAMED_VALUES, PATH, PATHS, SWITCH, TEXT, WHOLE, Option
from hwnas._runs._options import (
    BATCH,
    DEVICE,
    LATENCY_STATISTIC,
    SETTINGS,
    SPACE,
    STATISTICS_TEXT,
    THREADS,
    budget_options,
    search_options,
)

GROUPS = {
    "space": "see `hwnas plugins` for all spaces, and docs/space.md",
    "signals": "options of --task signal, see docs/signals.md",
    "evaluation": "all evaluators are listed below",
    "delivery": "what happens to the best networks before they are exported, measured and tested",
    "pruning": "see docs/derive.md for all options",
    "budgets": "upper bounds: sizes are known before a network is evaluated; the latency budget limits what is "
    "measured",
}
"""What stands below the headings of a command's help."""


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        name: Its name.
        help: What it does, in one line.
        example: A command line that works.
        options: What it takes.
        function: The function of `hwnas` that does its work.
        exits: Its exit codes, where scripts need them.
    """

    name: str
    help: str
    example: str
    options: tuple[Option, ...] = ()
    function: str = ""
    exits: str = ""


JSON = Option("json", "print JSON", SWITCH, False)
DEBUG = Option("debug", "show the traceback of an error", SWITCH, False)
SHOWN = ("debug", "json", "quiet")
"""Options that only say how a terminal shows what happens."""


def _positional(
    name: str, help: str, *, many: str = "", metavar: str | None = None, default: str | None = None
) -> Option:
    kind = PATHS if many == "+" else TEXT
    return Option(name, help, kind, default, flags=(name,), many=many, metavar=metavar)


def _action(name: str, help: str) -> Option:
    return Option("action", help, TEXT, flags=("action",), choices=(name,))


def _output(help: str, metavar: str = "FILE", *, required: bool = False, group: str = "output") -> Option:
    flags = ("-o", "--output")
    return Option("out", help, PATH, group=group, flags=flags, metavar=metavar, required=required)


def _networks(help: str, default: int = 50, group: str = "validation") -> Option:
    return Option("networks", help, WHOLE, default, group)


def _seed(help: str, group: str = "validation") -> Option:
    return Option("seed", help, WHOLE, 0, group)


RESULT = Option(
    "result", "build the table from a bundle's result.json", PATH, group="output", flags=("--import",), metavar="FILE"
)
_CPU_PRECISION = Option("precision", "number format: fp32 or int8", TEXT, "fp32", "device")
_REMOTE = Option(
    "device", "where the table's device is: ssh://[user@]host[:port], or cuda:N (default: this machine)", TEXT
)
_TABLE = _positional("table", "table file")
_RANKED_STATISTIC = f"statistic that is compared with the other files and the budget: {STATISTICS_TEXT}"
_HELD_OUT = _networks("networks to validate the table on")
_HELD_OUT_SEED = _seed("random seed of these networks")


_PROFILING = (
    Command(
        "profile",
        "measure a latency table for a space on a device",
        "hwnas profile --device cpu --space mobilenetv3 --preset tiny --resolution 16,32 -o laptop.json",
        (
            *DEVICE,
            *SPACE,
            _HELD_OUT,
            _HELD_OUT_SEED,
            _output("table file (default: in the user's table folder)"),
            Option("force", "measure again and replace an existing table", SWITCH, False, "output"),
            RESULT,
        ),
        "profile",
    ),
    Command(
        "bundle",
        "write a profile as a folder, for a device without ssh",
        "hwnas bundle --space mobilenetv3 --preset tiny --threads 4 --core-cache 512k -o board/",
        (
            THREADS,
            BATCH,
            _CPU_PRECISION,
            Option("core_cache", "second-level cache of a core, in bytes", TEXT, "1M", "device"),
            *SPACE,
            _HELD_OUT,
            _HELD_OUT_SEED,
            _output("folder to write", "FOLDER", required=True),
        ),
        "bundle",
    ),
    Command(
        "draw",
        "write networks that you measure yourself, for `hwnas fit`",
        "hwnas draw --networks 12 --space nasbench201 -o to-measure/",
        (
            _networks("networks, from the fastest to the slowest", 12, ""),
            BATCH,
            _CPU_PRECISION,
            *SPACE,
            _seed("random seed of the networks and their weights", "output"),
            _output("folder to write", "FOLDER", required=True),
        ),
        "draw",
    ),
    Command(
        "fit",
        "build a latency table from the latencies of whole networks (10 or more)",
        "hwnas fit measured.csv --latency-column phone_ms --device my-phone --space nasbench201 -o phone.json",
        (
            _positional("csv", "CSV file (or .csv.gz) with a column arch and a column of latencies"),
            Option("latency_column", "column of latencies", TEXT, group="measurements", required=True),
            Option(
                "unit",
                "unit of that column: s, ms, us or ns (default: from the end of its name, like _us; else ms)",
                TEXT,
                group="measurements",
            ),
            Option("device", "name of the device that was measured", TEXT, group="measurements", required=True),
            replace(BATCH, group="measurements"),
            Option(
                "dead_code",
                "whether the device executed branches that reach no output: executed, removed, or auto to find out",
                TEXT,
                "auto",
                "measurements",
            ),
            *SPACE,
            _seed("random seed of the bootstrap for the intervals", "output"),
            _output("table file to write", required=True),
        ),
        "fit",
    ),
)


def _search() -> Command:
    return Command(
        "search",
        "search for networks that are accurate and fast on a device, and deliver the best",
        "hwnas search --preset imagenet --data photos/ --latency-budget 4ms --samples 300 --out runs/photos",
        search_options(),
        "search",
        "0: done; 1: no network keeps the budgets as measured, the nearest are delivered; 2: wrong input",
    )


_AFTER_A_SEARCH = (
    Command(
        "export",
        "copy one network of a run",
        "hwnas export runs/photos --pick best -o network.onnx",
        (
            _positional("run", "run directory"),
            Option(
                "pick",
                "fastest, knee, best or an id (default: best if the latency or a minimised cost has a budget, or after "
                "--goal best; else knee)",
                TEXT,
            ),
            Option("allow_over_budget", "allow a network that is over a budget", SWITCH, False),
            Option(
                "deploy",
                "write a folder that deploys the network (ONNX file, predict.py, requirements, README); without -o, "
                "nothing else is written",
                PATH,
                metavar="FOLDER",
            ),
            _output("ONNX file to write (default: ID.onnx)", group=""),
        ),
        "export",
    ),
    Command(
        "runs",
        "list the runs in a folder",
        "hwnas runs runs/",
        (_positional("folder", "folder that contains runs", many="?", default="runs"), JSON),
        "runs",
    ),
    Command(
        "compare",
        "compare the fronts of several runs",
        "hwnas compare runs/a runs/b -o both.png",
        (
            _positional("runs", "run directories with the same objectives", many="+", metavar="RUN"),
            _output("picture to write: a .png file, or an .html page with the table", group=""),
            JSON,
        ),
        "compare",
    ),
)


_ABOUT_MODELS = (
    Command(
        "explain",
        "measure an ONNX model on this machine's CPU, and each node's share of its latency",
        "hwnas explain model.onnx -o explained.html",
        (
            _positional("model", "ONNX file"),
            Option("device", "device to measure on: only cpu, that of this machine", TEXT, "cpu", "device"),
            THREADS,
            Option(
                "shape",
                "shape of an input with sizes that the file leaves open, like --shape x=1,3,640,640; can be repeated",
                NAMED_VALUES,
                {},
                "model",
                metavar="NAME=SIZES",
            ),
            Option(
                "value",
                "number to fill an input with, like --value sr=16000; can be repeated",
                NAMED_VALUES,
                {},
                "model",
                metavar="NAME=NUMBER",
            ),
            Option(
                "reuse",
                "earlier explanations (.json) of this device, whose prices are not measured again",
                PATHS,
                (),
                "measurements",
                many="+",
                metavar="FILE",
            ),
            Option(
                "no_changes",
                "do not measure what would change the total (int8, threads, aligned channels, activations)",
                SWITCH,
                False,
                "measurements",
            ),
            _output("file to write: an .html page or .json"),
            replace(JSON, group="output"),
        ),
        "explain",
    ),
    Command(
        "rank",
        "measure several ONNX files on this machine's CPU in the same rounds: which is faster, which keep a budget",
        "hwnas rank a.onnx b.onnx c.onnx --budget 4ms --accuracy scores.csv -o ranking.html",
        (
            _positional("files", "ONNX files; their dynamic batch axes are measured as 1", many="+", metavar="MODEL"),
            Option("budget", "upper bound of the latency, like 4ms or 250us", TEXT),
            Option("accuracy", "CSV file with the columns file and score; higher scores are better", PATH),
            THREADS,
            replace(LATENCY_STATISTIC, help=_RANKED_STATISTIC),
            _output("HTML page to write"),
            replace(JSON, group="output"),
        ),
        "rank",
        "0: done; 1: no file keeps the budget; 2: wrong input",
    ),
    Command(
        "derive",
        "show what a search could prune from a trained model, what it could not, and why",
        "hwnas derive model.onnx --data photos/ --image-size 224 --input-scaling imagenet --space-option keep=head",
        (
            _positional("model", "ONNX file of the trained model"),
            Option("data", "data set, to test the model as given (default: none)", PATH, group="data"),
            *(SETTINGS[name] for name in ("input_scaling", "data_limit")),
            replace(
                SETTINGS["image_size"],
                help="side of the input in pixels: the shorter side of each image is scaled to it, its centre cropped",
                group="data",
            ),
            replace(
                SETTINGS["space_settings"],
                help="any option of the pruning, like 'keep=layer1.*' (these layers stay as they are); can be repeated",
                group="pruning",
            ),
            replace(
                budget_options()["latency"],
                help="latency budget of the search, like 4ms: measure a few networks, show the space it would search",
                group="pruning",
            ),
            replace(DEVICE[0], default=None, help=f"with --latency-budget: {DEVICE[0].help} (default cpu)"),
            replace(THREADS, default=None, help="with --latency-budget: CPU threads inside an operator (default 1)"),
            JSON,
        ),
        "derive",
    ),
)


_ABOUT_TABLES = (
    Command(
        "predict",
        "predict the latency of an architecture from a table (q10: the 10th percentile of its times)",
        "hwnas predict laptop.json w1.0_r32_k3e2_k3e2_k3e2_k3e2_k3e2",
        (_TABLE, _positional("arch", "architecture, as `hwnas search` prints it"), JSON),
        "predict",
    ),
    Command(
        "validate",
        "measure networks that are not in the table, from fast to slow, and compare them with its predictions",
        "hwnas validate laptop.json --networks 50 --seed 1",
        (
            _positional("table", "table file of this device"),
            _REMOTE,
            _networks("networks to measure", group=""),
            _seed("random seed of these networks", ""),
            JSON,
        ),
        "validate",
    ),
    Command(
        "verify",
        "check in seconds whether a table is still valid: measure some of its networks again",
        "hwnas verify laptop.json",
        (
            _positional("table", "table file of this device"),
            _REMOTE,
            _seed("random seed of the networks to measure", ""),
            JSON,
        ),
        "verify",
        "0: the table holds; 1: ops changed, profile again; 2: wrong input; 3: too noisy to tell",
    ),
    Command(
        "merge",
        "merge tables of the same device and space into one",
        "hwnas merge a.json b.json -o c.json",
        (
            _positional("tables", "table files of one device and space", many="+", metavar="TABLE"),
            _output("table file to write", required=True, group=""),
        ),
        "merge",
    ),
    Command(
        "table",
        "show what a table contains and how accurate it is",
        "hwnas table show laptop.json",
        (
            _action("show", "show: what was measured, its validation, its most expensive and least certain rows"),
            _TABLE,
        ),
        "show_table",
    ),
)


_ABOUT_THE_MACHINE = (
    Command("devices", "list the devices of this machine", "hwnas devices", (), "devices"),
    Command(
        "doctor",
        "find what disturbs measurements on this machine, and how to fix it",
        "hwnas doctor",
        (JSON,),
        "doctor",
    ),
    Command(
        "device",
        "remove hwnas's files from a device reached through ssh",
        "hwnas device clean ssh://user@board",
        (
            _action("clean", "clean: remove the device's cache folder"),
            _positional("device", "ssh://[user@]host[:port]"),
        ),
        "clean_device",
    ),
    Command(
        "plugins",
        "list spaces, tasks, strategies, evaluators, devices, operators and costs, and which package each comes from",
        "hwnas plugins",
        (),
        "plugins",
    ),
)


def commands() -> tuple[Command, ...]:
    """Return all commands, in the order of the help."""
    return (*_PROFILING, _search(), *_AFTER_A_SEARCH, *_ABOUT_MODELS, *_ABOUT_TABLES, *_ABOUT_THE_MACHINE)

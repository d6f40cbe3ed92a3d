"""The options of every command. Imports nothing but the standard library."""

from __future__ import annotations

import argparse
from typing import NoReturn

from hwnas._common._about import about_lines
from hwnas._common._text import printable
from hwnas._version import __version__

_EVALUATOR_HELP = (
    "where accuracies come from: supernet (default), train, or table:FILE; "
    "or scores that are none: synflow, naswot, gradnorm, parameters"
)


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with exit code 2."""
        self.exit(2, f"hwnas: error: {printable(' '.join(message.split()))} (see `{self.prog} --help`)\n")

    def format_help(self) -> str:
        """The help, with what the spaces, evaluators and strategies are that the command takes, and plug-ins' names."""
        text = super().format_help()
        if "--strategy" in self._option_string_actions:
            for kind, title in (
                ("task", "tasks"),
                ("evaluator", "evaluators"),
                ("strategy", "strategies"),
                ("space", "spaces"),
            ):
                text += "\n".join(["", f"{title} (--{kind}):", *about_lines(kind), ""])
        taken = [
            kind
            for kind in ("space", "task", "strategy", "evaluator", "device")
            if f"--{kind}" in self._option_string_actions
        ]
        if not taken:
            return text
        from hwnas._common._plugins import plugin_names

        named = [(kind, printable(", ".join(names))) for kind in taken if (names := plugin_names(kind))]
        found = [f"--{kind} of plug-ins: {names}\n" for kind, names in named]
        return text + "".join(["\n", *found] if found else [])


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = OneLineParser(
        prog="hwnas",
        description="Profile a device, search networks that are fast on it, and ship them measured.",
    )
    parser.add_argument("--version", action="version", version=f"hwnas {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=OneLineParser)
    _profile(commands)
    _bundle(commands)
    _draw(commands)
    _fit(commands)
    _search(commands)
    _export(commands)
    _runs(commands)
    _compare(commands)
    _predict(commands)
    _validate(commands)
    _verify(commands)
    _merge(commands)
    _table(commands)
    _devices(commands)
    _doctor(commands)
    _device(commands)
    _plugins(commands)
    return parser


def _add(commands: argparse._SubParsersAction[OneLineParser], name: str, text: str, example: str) -> OneLineParser:
    command = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return command


def _profile(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    parser = _add(
        commands,
        "profile",
        "measure a latency table of a space on a device",
        "hwnas profile --device cpu --space mobilenetv3 --preset tiny --resolution 16,32 -o laptop.json",
    )
    _device_options(parser)
    command = _space_options(parser)
    command.add_argument("--classes", type=int, help="classes of the networks (default 10)")
    command.add_argument("--image-channels", type=int, help="channels of the images (default 3)")
    command = parser.add_argument_group("validation")
    command.add_argument("--networks", type=int, default=50, help="held-out networks to validate on (default 50)")
    command.add_argument("--seed", type=int, default=0, help="of the networks drawn for validation")
    command = parser.add_argument_group("output")
    command.add_argument("-o", "--output", help="table file (default: in the user's table folder)")
    command.add_argument("--force", action="store_true", help="measure again and replace what is there")
    command.add_argument("--import", dest="result", metavar="FILE", help="make the table of a bundle's result.json")


def _bundle(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    parser = _add(
        commands,
        "bundle",
        "write a profile as a folder, for a device without ssh",
        "hwnas bundle --space mobilenetv3 --preset tiny --threads 4 --core-cache 512k -o board/",
    )
    command: argparse._ArgumentGroup = parser.add_argument_group("device")
    command.add_argument("--threads", type=int, default=1, help="threads inside an operator (default 1: the steadiest)")
    command.add_argument("--batch", type=int, default=1, help="images of one inference (default 1)")
    command.add_argument("--precision", default="fp32", help="fp32 (default) or int8")
    command.add_argument("--core-cache", default="1M", help="a core's second-level cache in bytes (default 1M)")
    command = _space_options(parser)
    command.add_argument("--classes", type=int, help="classes of the networks (default 10)")
    command.add_argument("--image-channels", type=int, help="channels of the images (default 3)")
    command = parser.add_argument_group("validation")
    command.add_argument("--networks", type=int, default=50, help="held-out networks to validate on (default 50)")
    command.add_argument("--seed", type=int, default=0, help="of the networks drawn for validation")
    command = parser.add_argument_group("output")
    command.add_argument("-o", "--output", required=True, help="folder to write")


def _draw(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    command = _add(
        commands,
        "draw",
        "write networks to be measured by hand, for `hwnas fit`",
        "hwnas draw --networks 12 --space nasbench201 -o to-measure/",
    )
    command.add_argument("--networks", type=int, default=12, help="from the fastest to the slowest (default 12)")
    command.add_argument("--batch", type=int, default=1, help="images of one inference (default 1)")
    command.add_argument("--precision", default="fp32", help="fp32 (default) or int8")
    _space_options(command)
    command.add_argument("--classes", type=int, help="classes of the networks (default 10)")
    command.add_argument("--image-channels", type=int, help="channels of the images (default 3)")
    command.add_argument("--seed", type=int, default=0, help="of the draw and of the random weights")
    command.add_argument("-o", "--output", required=True, help="folder to write")


def _fit(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    parser = _add(
        commands,
        "fit",
        "make a latency table of whole-network latencies alone, from ten networks up",
        "hwnas fit measured.csv --latency-column phone_ms --device my-phone --space nasbench201 -o phone.json",
    )
    parser.add_argument("csv", help="CSV file (or .csv.gz) with a column arch and one of latencies")
    command: argparse._ArgumentGroup = parser.add_argument_group("measurements")
    command.add_argument("--latency-column", required=True, help="column of latencies")
    command.add_argument("--unit", help="of the column: s, ms, us or ns (default: as its name ends, like _us, else ms)")
    command.add_argument("--device", required=True, help="name of the device that was measured")
    command.add_argument("--batch", type=int, default=1, help="images of one inference (default 1)")
    command.add_argument("--dead-code", default="auto", help="branches without use: executed, removed, auto (default)")
    command = _space_options(parser)
    command.add_argument("--classes", type=int, help="classes of the networks (default 10)")
    command.add_argument("--image-channels", type=int, help="channels of the images (default 3)")
    command = parser.add_argument_group("output")
    command.add_argument("--seed", type=int, default=0, help="of the bootstrap behind the intervals")
    command.add_argument("-o", "--output", required=True, help="table file to write")


def _search(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    parser = _add(
        commands,
        "search",
        "search networks for a data set and a device, and hand the front over",
        "hwnas search --device cpu --data photos/ --latency-budget 4ms --samples 300 --out runs/photos",
    )
    device = _device_options(parser)
    _space_options(parser)
    command = parser.add_argument_group("data")
    command.add_argument(
        "--data", default="digits", help="digits (default), a folder of images or of CIFAR-10, an .npz file"
    )
    command.add_argument("--task", help="what networks are for: image, or a plug-in's (default: from the data)")
    command.add_argument("--data-limit", type=int, help="use at most this many samples of each part")
    command = accuracy = parser.add_argument_group("accuracy", "the evaluators are listed below")
    command.add_argument("--evaluator", default="supernet", help=_EVALUATOR_HELP)
    command.add_argument("--epochs", type=int, help="epochs of training (default: by the size of the data)")
    command.add_argument("--recipe", help="settings of training, like cutout=0.5,mixup=0.2 (see docs/training.md)")
    command.add_argument("--supernet-sampling", help="subnets of a training step: uniform (default), bestup, worstup")
    command.add_argument("--halving", type=int, help="train: of the networks at a rung only the best 1/HALVING go on")
    command = parser.add_argument_group("delivery", "what happens to the picked networks before they are handed over")
    command.add_argument("--finalize", default="none", help="picked networks: none (default), finetune or train")
    command.add_argument("--final-epochs", type=int, help="epochs of --finalize (default: by the size of the data)")
    command.add_argument("--final-recipe", help="settings of --finalize, like --recipe")
    accuracy.add_argument("--accuracy-column", help="column of accuracies in table:FILE")
    device.add_argument("--latency-column", help="column of latencies in table:FILE, instead of a latency table")
    accuracy.add_argument("--cheap", help="look at candidates first with another evaluator (or column of table:FILE)")
    command = search = parser.add_argument_group("search")
    command.add_argument(
        "--strategy", default="lamoo", help="lamoo (default), random, nsga2, ... (see `hwnas plugins`)"
    )
    search.add_argument("--minimize", default="latency", help="costs: latency,macs,params,memory (default latency)")
    command = parser.add_argument_group("budgets", "upper bounds: no architecture beyond one is evaluated")
    command.add_argument("--latency-budget", help="upper bound, like 4ms or 250us")
    command.add_argument("--macs-budget", help="upper bound, like 50M")
    command.add_argument("--params-budget", help="upper bound, like 600k")
    command.add_argument("--memory-budget", help="upper bound of peak activation memory in bytes, like 512k")
    search.add_argument("--samples", type=int, default=200, help="architectures to evaluate (default 200)")
    search.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    device.add_argument("--table", help="latency table to use (default: one that fits, else a new one)")
    device.add_argument("--not-here", action="store_true", help="the table's device is not here: measure no network")
    command = parser.add_argument_group("workers")
    command.add_argument(
        "--workers", default="1", help="processes that evaluate (default 1: this one), or ray: a cluster"
    )
    command.add_argument("--ray-address", help="of the Ray cluster (default: the one that Ray finds)")
    command.add_argument(
        "--evaluation-timeout",
        type=float,
        metavar="SECONDS",
        help="a trial that takes longer fails (default: no limit); evaluates in a worker process, which is killed",
    )
    command.add_argument("--evaluation-threads", type=int, help="of one evaluation (default: by the cores and workers)")
    search.add_argument(
        "--warm-start",
        metavar="RUN",
        help="begin with the trials of another run, which count among the samples (another strategy or other budgets)",
    )
    search.add_argument("--proposals", type=int, default=5, help="proposed at once; more workers idle (default 5)")
    command = parser.add_argument_group("output")
    command.add_argument("--out", default="runs/latest", help="run directory (default runs/latest)")
    command.add_argument("--quiet", action="store_true", help="print the path of the report alone")
    command.add_argument("--json", action="store_true", help="print what happens as JSON, one object a line")


def _export(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    command = _add(
        commands, "export", "copy one network of a run", "hwnas export runs/photos --pick knee -o network.onnx"
    )
    command.add_argument("run", help="run directory")
    command.add_argument("--pick", default="knee", help="fastest, knee (default), best or an id")
    command.add_argument("--allow-over-budget", action="store_true", help="also take a network that breaks the budget")
    command.add_argument("-o", "--output", help="ONNX file to write (default: ID.onnx)")


def _runs(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    command = _add(commands, "runs", "list the runs below a folder", "hwnas runs runs/")
    command.add_argument("folder", nargs="?", default="runs", help="folder to look through (default runs)")
    command.add_argument("--json", action="store_true", help="print JSON")


def _compare(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    command = _add(
        commands, "compare", "hold the fronts of several runs together", "hwnas compare runs/a runs/b -o both.png"
    )
    command.add_argument("runs", nargs="+", metavar="RUN", help="run directories of the same objectives")
    command.add_argument("-o", "--output", help="picture to write: a .png file, or an .html page with the table")
    command.add_argument("--json", action="store_true", help="print JSON")


def _predict(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    command = _add(
        commands,
        "predict",
        "price an architecture from a latency table",
        "hwnas predict laptop.json w1.0_r32_k3e2_k3e2_k3e2_k3e2_k3e2",
    )
    command.add_argument("table", help="table file")
    command.add_argument("arch", help="architecture, as `hwnas search` prints it")
    command.add_argument("--json", action="store_true", help="print JSON")


def _validate(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    command = _add(
        commands,
        "validate",
        "measure random networks now and hold a table against them",
        "hwnas validate laptop.json --networks 50 --seed 1",
    )
    command.add_argument("table", help="table file of this device")
    _where_option(command)
    command.add_argument("--networks", type=int, default=50, help="networks to draw (default 50)")
    command.add_argument("--seed", type=int, default=0, help="of the draw")
    command.add_argument("--json", action="store_true", help="print JSON")


def _verify(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    command = _add(
        commands,
        "verify",
        "measure a few numbers of a table again, in seconds: does it still hold here?",
        "hwnas verify laptop.json",
    )
    command.add_argument("table", help="table file of this device")
    _where_option(command)
    command.add_argument("--seed", type=int, default=0, help="of the choice of ops and network")


def _merge(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    command = _add(
        commands, "merge", "make one table of two of the same device and space", "hwnas merge a.json b.json -o c.json"
    )
    command.add_argument("tables", nargs="+", metavar="TABLE", help="table files of one device and space")
    command.add_argument("-o", "--output", required=True, help="table file to write")


def _table(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    command = _add(commands, "table", "show what a table holds and how far to trust it", "hwnas table show laptop.json")
    command.add_argument("action", choices=["show"], help="show: identity, validation, dearest and shakiest rows")
    command.add_argument("table", help="table file")


def _devices(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    _add(commands, "devices", "list the devices of this machine", "hwnas devices")


def _doctor(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    command = _add(commands, "doctor", "say what on this machine spoils measurements, and the remedy", "hwnas doctor")
    command.add_argument("--json", action="store_true", help="print JSON")


def _device(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    text = "remove everything of hwnas's from a device reached through ssh"
    command = _add(commands, "device", text, "hwnas device clean ssh://user@board")
    command.add_argument("action", choices=["clean"], help="clean: remove the cache folder there")
    command.add_argument("device", help="ssh://[user@]host[:port]")


def _plugins(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    text = "list spaces, strategies, evaluators and devices by name, with the distribution that brings each"
    _add(commands, "plugins", text, "hwnas plugins")


def _where_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", help="where the table's device is: ssh://[user@]host[:port] (default: here)")


def _device_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    command = parser.add_argument_group("device")
    command.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:N, ssh://[user@]host[:port]")
    command.add_argument("--threads", type=int, default=1, help="threads inside an operator (default 1: the steadiest)")
    command.add_argument("--batch", type=int, default=1, help="images of one inference (default 1)")
    command.add_argument("--precision", default="fp32", help="fp32 (default); cpu: int8; cuda: fp16, bf16")
    command.add_argument("--provider", help="cpu: ONNX Runtime's execution provider (see `hwnas devices`)")
    command.add_argument("--protocol", help="cuda: host (default: eager launches) or kernel (CUDA-graph replay)")
    command.add_argument("--channels-last", action="store_true", help="cuda: channels-last memory format")
    return command


def _space_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    command = parser.add_argument_group("space", "mobilenetv3, nasbench201 or a plug-in's: see `hwnas plugins`")
    command.add_argument("--space", default="mobilenetv3", help="mobilenetv3 (default), nasbench201 or a plug-in's")
    command.add_argument("--preset", help="mobilenetv3: tiny (8-32 pixels) or imagenet (128-224)")
    command.add_argument("--resolution", help="mobilenetv3: image sizes to choose from, like 16,32")
    command.add_argument("--width", help="mobilenetv3: width multipliers to choose from, like 0.5,1.0")
    command.add_argument("--image-size", type=int, help="nasbench201: image size; search: size to load images at")
    return command

"""Training one network, from scratch or from given weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from hwnas._errors import EvaluatorError, SpaceError
from hwnas.spaces import Space, for_smaller_images
from hwnas.tasks import Shape, Targets, Task
from hwnas.training._batches import TrainLoader, sample_batches, shape_to_load
from hwnas.training._checkpoint import content_digest
from hwnas.training._loop import Backward, TrainingJob, compute_threads, require_device, run_training
from hwnas.training._precision import Computing, computes_in_half, computing
from hwnas.training._recipe import Recipe, StepProgress
from hwnas.training._start._digest import weights_digest
from hwnas.training._start._fill import starting_weights
from hwnas.training._start._norms import NORM_SAMPLES, with_norms
from hwnas.training._teacher import Teacher, shapes_of
from hwnas.training._trim import cut_tensor, trimmed
from latency_tables import OpGraph
from profilers import GraphModule, Parameter, RunningNorm, expand, run_graph, trained_graph

FloatArray = npt.NDArray[np.float32]


def train_network(
    graph: OpGraph,
    task: Task,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    checkpoint: Path | None = None,
    progress: StepProgress | None = None,
    label: str = "network",
    start: Mapping[str, FloatArray] | None = None,
    start_digest: str | None = None,
    teacher: Teacher | None = None,
    should_continue: Callable[[int, GraphModule], bool] | None = None,
    losses: list[float] | None = None,
) -> GraphModule:
    """Train a network, from He initialisation or from given weights.

    Args:
        graph: The network.
        task: What it is trained for.
        recipe: The settings.
        seed: Decides initialisation, batches and augmentation.
        device: ``"cpu"`` or ``"cuda"``.
        threads: Torch's threads on the CPU; None for its own choice. Results depend on it in the last bits.
        checkpoint: File to resume from and to write after each epoch.
        progress: Called after every step.
        label: What progress and errors call the network.
        start: Weights and statistics to start from by ``"node.parameter"``; what is absent starts from He
            initialisation, what has other extents is cropped or fills a part (`filled`), and a batch norm that is
            folded into them is put back. None for He initialisation.
        start_digest: Tells these weights from others where they follow from a file and the data: sums over data may
            differ in the last bits. None for their own SHA-256.
        teacher: A trained network whose outputs are learned beside the targets (`Recipe.teacher_weight`).
        should_continue: Called after every epoch but the last with the number of epochs done and the network in
            evaluation mode; False ends the training (see `TrainingJob`).
        losses: Receives the mean training loss of every epoch, also of those that a checkpoint holds.

    Returns:
        The network in evaluation mode, with the running statistics of its batch norms.

    Raises:
        EvaluatorError: No such device, a checkpoint of another training, or the loss is no longer finite.
    """
    require_device(device)
    with compute_threads(threads):
        complete = start and with_norms(start, graph, lambda: sample_batches(task, NORM_SAMPLES, graph.input_shape))
    module = GraphModule(graph, starting_weights(graph, complete, seed)).to(device).train()
    shapes = shapes_of(teacher)
    computed = computed_graphs(graph, recipe)
    loaders = [
        TrainLoader(task, recipe, shape_to_load(task, [shape, *shapes]) if shapes else shape, device)
        for shape in computed
    ]
    identity = _identity(graph, task, recipe, seed)
    identity["start"] = "he" if start is None else start_digest or weights_digest(start)
    if teacher is not None:
        identity["teacher"] = teacher.digest
        teacher = teacher.to(device)
    context = computing(recipe, device)
    backwards = [_backward(module, one, task, recipe, teacher, context) for one in computed.values()]
    with compute_threads(threads):
        ask = None if should_continue is None else _asked(module, should_continue)
        fused = device == "cpu" and computes_in_half(recipe, device)  # else the same bits as in earlier versions
        job = TrainingJob(
            label,
            module,
            backwards[0],
            loaders[0],
            recipe,
            seed,
            checkpoint,
            identity,
            ask,
            draws=False,
            fused=fused,
            small=(loaders[-1], backwards[-1]),
        )
        run_training(job, progress)
    if losses is not None:
        losses[:] = job.losses
    return module.eval()


def _identity(graph: OpGraph, task: Task, recipe: Recipe, seed: int) -> dict[str, object]:
    """Return what a checkpoint belongs to, beside what the training starts from and learns of."""
    return {
        "training": "network",
        "graph": repr([(node.name, node.op.key) for node in graph.nodes]),
        "wiring": content_digest([node.inputs for node in graph.nodes]),
        "data": task.fingerprint,
        "recipe": repr(sorted(recipe.as_dict().items())),
        "seed": seed,
    }


def _asked(module: GraphModule, should_continue: Callable[[int, GraphModule], bool]) -> Callable[[int], bool]:
    def ask(done: int) -> bool:
        """Ask with the network in evaluation mode."""
        goes_on = should_continue(done, module.eval())
        module.train()
        return goes_on

    return ask


def computed_graphs(graph: OpGraph, recipe: Recipe) -> dict[Shape, OpGraph]:
    """Return a network as it is computed, by the shape of its inputs: the whole ones first, then any smaller ones.

    Raises:
        EvaluatorError: It cannot read the smaller ones that the recipe asks for.
    """
    whole = expand(trained_graph(graph))
    if recipe.small_epochs == 0:
        return {graph.input_shape: trimmed(whole)}
    try:
        smaller = for_smaller_images(whole)
    except SpaceError as error:
        raise EvaluatorError(
            f"training: small_first={recipe.small_first:g} needs a network that reads smaller images, but {error}; "
            "leave it out"
        ) from None
    return {graph.input_shape: trimmed(whole), smaller.input_shape: trimmed(smaller)}


def require_readable(space: Space, recipe: Recipe) -> None:
    """Refuse a recipe with smaller images that the networks of a space cannot read; one network is looked at.

    Raises:
        EvaluatorError: They cannot.
    """
    if recipe.small_epochs:
        computed_graphs(space.graph(space.sample(1, np.random.default_rng(0))[0]), recipe)


def _backward(
    module: GraphModule,
    expanded: OpGraph,
    task: Task,
    recipe: Recipe,
    teacher: Teacher | None,
    context: Computing,
) -> Backward:
    """Return gradients of the loss; computed without kernel taps that only meet padding.

    Batches may have another shape than the network reads: that of the teacher.
    """
    tensors: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}

    def lookup(name: str, parameter: Parameter) -> Tensor:
        """Return the tensor of a parameter."""
        return cut_tensor(tensors[name.replace(".", "/")], parameter, name)

    def backward(x: Tensor, targets: Targets, _: np.random.Generator) -> Tensor:
        """Add the gradients of one batch; return its loss."""
        with context():
            seen = x if tuple(x.shape[1:]) == expanded.input_shape else task.at_shape(x, expanded.input_shape)
            output = run_graph(expanded, seen, lookup, RunningNorm(training=True)).float()
        loss = task.loss((output,), targets, recipe.task_settings)
        if teacher is not None:
            taught = teacher.outputs(x, task, context)
            loss = loss + recipe.teacher_weight * task.distillation_loss((output,), taught)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return backward

"""Training a supernet: sandwich rule, in-place distillation, attentive sampling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas._costs._space_costs import SpaceCosts
from hwnas.spaces import Architecture
from hwnas.tasks import Targets, Task
from hwnas.training._batches import TrainLoader, sample_batches, shape_to_load
from hwnas.training._loop import TrainingJob, compute_threads, require_device, run_training
from hwnas.training._precision import computing
from hwnas.training._recipe import Recipe, StepProgress
from hwnas.training._sampling import CostFunction, draw_near
from hwnas.training._start._digest import weights_digest
from hwnas.training._start._norms import NORM_SAMPLES, with_norms
from hwnas.training._supernet import Supernet
from hwnas.training._teacher import Teacher, shapes_of


def train_supernet(
    supernet: Supernet,
    task: Task,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    cost: CostFunction | None = None,
    initial: Mapping[str, npt.NDArray[np.float32]] | None = None,
    initial_digest: str | None = None,
    teacher: Teacher | None = None,
    checkpoint: Path | None = None,
    progress: StepProgress | None = None,
) -> None:
    """Train the shared weights in place.

    Each step adds the gradients of the largest network, the smallest and `Recipe.random_subnets` random ones (the
    sandwich rule: Yu and Huang 2019, arXiv 1903.05134, section 3.1; Yu et al. 2020, arXiv 2003.11142, section 3). The
    largest learns the targets, the others the largest's outputs on the same samples (in-place distillation,
    section 3.3 of the former).

    With a `teacher` the largest network learns the targets and the teacher's outputs (`Recipe.teacher_weight`), and the
    others the largest's or the teacher's (`Recipe.taught_by`).

    With `Recipe.sampling` ``"bestup"`` or ``"worstup"`` each random network is the one with the least or the greatest
    loss among `Recipe.candidates` networks of nearly one cost (`draw_near`), as in AttentiveNAS (Wang et al. 2021,
    arXiv 2011.09011, section 3.1). Their predictor of performance is here the loss on the step's own samples, against
    the largest network's outputs: all candidates see the same samples with the present weights, so that even small
    differences between networks of one cost count, there is no second model whose fit lags behind the weights, and no
    state beside the weights that a resumed training would have to restore. It costs a forward pass, without gradients,
    for each candidate.

    Args:
        supernet: Starts as it is.
        task: What the networks are trained for.
        recipe: The settings.
        seed: Decides batches, augmentation and random subnets.
        device: ``"cpu"`` or ``"cuda"``.
        threads: Torch's threads on the CPU; None for its own choice. Results depend on it in the last bits.
        cost: What candidates are drawn by; None for MACs. Not used by uniform sampling.
        initial: Tensors by ``"node.parameter"`` that take the place of the supernet's weights (`Supernet.load`). A
            batch norm that is folded into them is put back, as the identity on train samples of the largest network.
        initial_digest: What tells them from others, where they follow from a file and the data: sums over data may
            differ in the last bits. None for their own SHA-256.
        teacher: A trained network to learn from; None for none.
        checkpoint: File to resume from and to write after each epoch.
        progress: Called after every step.

    Raises:
        EvaluatorError: No such device, a checkpoint of another training, or the loss is no longer finite.
    """
    require_device(device)
    recipe.require_one_size()
    supernet.to(device)
    largest = supernet.space.input_shape(supernet.largest)
    loader = TrainLoader(task, recipe, shape_to_load(task, [largest, *shapes_of(teacher)]), device)
    identity = {
        "training": "supernet",
        "space": supernet.space.sharing_identity,
        "data": task.fingerprint,
        "recipe": repr(sorted(recipe.as_dict().items())),
        "seed": seed,
    }
    if initial is not None:
        identity["initial"] = initial_digest or weights_digest(initial)
        with compute_threads(threads):
            load_initial(supernet, initial, task)
    if teacher is not None:
        identity["teacher"] = teacher.digest
        teacher = teacher.to(device)
    if cost is None:
        cost = CostFunction("macs", SpaceCosts(supernet.space, None).cost("macs"))
    if recipe.sampling != "uniform":
        identity["cost"] = cost.name
    sandwich = _Sandwich(supernet, task, recipe, device, cost, teacher)
    job = TrainingJob("supernet", supernet, sandwich.backward, loader, recipe, seed, checkpoint, identity)
    with compute_threads(threads):
        run_training(job, progress)


def load_initial(
    supernet: Supernet, initial: Mapping[str, npt.NDArray[np.float32]], task: Task
) -> dict[str, npt.NDArray[np.float32]]:
    """Let the shared weights start from given tensors.

    Args:
        supernet: Takes them over.
        initial: Tensors by ``"node.parameter"``.
        task: Gives the samples that batch norms are put back on, as the identity in the largest network, where they are
            folded into the tensors.

    Returns:
        The tensors with the norms that were put back.
    """
    graph = supernet.space.graph(supernet.largest)
    complete = with_norms(initial, graph, lambda: sample_batches(task, NORM_SAMPLES, graph.input_shape))
    supernet.load(complete)
    return complete


class _Sandwich:
    """Gradients of one batch."""

    def __init__(
        self,
        supernet: Supernet,
        task: Task,
        recipe: Recipe,
        device: str,
        cost: CostFunction,
        teacher: Teacher | None = None,
    ) -> None:
        self.supernet, self.task, self.recipe, self.cost, self.teacher = supernet, task, recipe, cost, teacher
        self.context = computing(recipe, device)

    def backward(self, x: Tensor, targets: Targets, rng: np.random.Generator) -> Tensor:
        """Add the gradients of largest, chosen and smallest networks; returns the largest's loss."""
        net = self.supernet
        outputs = self._outputs(net.largest, x)
        loss = self.task.loss(outputs, targets, self.recipe.task_settings)
        teacher = tuple(output.detach() for output in outputs)
        if self.teacher is not None:
            taught = self.teacher.outputs(x, self.task, self.context)
            loss = loss + self.recipe.teacher_weight * self.task.distillation_loss(outputs, taught)
            teacher = taught if self.recipe.taught_by == "teacher" else teacher
        loss.backward()  # type: ignore[no-untyped-call]
        for arch in [*self._chosen(x, teacher, rng), net.smallest]:
            self.task.distillation_loss(self._outputs(arch, x), teacher).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _chosen(self, x: Tensor, teacher: tuple[Tensor, ...], rng: np.random.Generator) -> Iterator[Architecture]:
        """Yield the networks between the largest and the smallest, `Recipe.random_subnets` of them."""
        recipe, space = self.recipe, self.supernet.space
        if recipe.sampling == "uniform":
            yield from space.sample(recipe.random_subnets, rng)
            return
        better = min if recipe.sampling == "bestup" else max
        for _ in range(recipe.random_subnets):
            losses = {
                arch: self._loss(arch, x, teacher) for arch in draw_near(space, self.cost, recipe.candidates, rng)
            }
            yield better(losses, key=losses.__getitem__)

    def _loss(self, arch: Architecture, x: Tensor, teacher: tuple[Tensor, ...]) -> float:
        with torch.no_grad():
            return float(self.task.distillation_loss(self._outputs(arch, x), teacher))

    def _outputs(self, arch: Architecture, x: Tensor) -> tuple[Tensor, ...]:
        small = self.task.at_shape(x, self.supernet.space.input_shape(arch))
        with self.context():
            output: Tensor = self.supernet(small, arch).float()
        return (output,)

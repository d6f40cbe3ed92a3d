"""BoTorch's noisy log hypervolume improvement on categorical choices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from search._arrays import FloatArray, IntArray, row_keys
from search._context import Context
from search._domain import Domain
from search._packages import require_package
from search._threads import seeded_torch
from search.models import fit_target

if TYPE_CHECKING:
    import torch

__all__ = ["categorical_gp", "log_nehvi_batch"]

_SAMPLES = 32
_CHUNK = 512
_FIT_STEPS = 100


def _tensor(array: FloatArray | IntArray) -> torch.Tensor:
    import torch

    return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.double)


def categorical_gp(codes: IntArray, targets: FloatArray, domain: Domain) -> Any:
    """Fit a Gaussian process to one-hot rows; its kernel is BoTorch's `CategoricalKernel`, outcomes are standardised.

    This is the model of `MixedSingleTaskGP` with categorical choices alone; on one-hot rows its distances are one
    product of matrices.

    Args:
        codes: Rows ``(n, d)``, n >= 2.
        targets: Values ``(n,)``.
        domain: Gives the cardinalities of the choices.
    """
    from botorch.exceptions.errors import ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from botorch.models.gp_regression import SingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

    from search.bayes._categorical import hamming_kernel

    rows = _tensor(domain.one_hot(codes))
    model = SingleTaskGP(rows, _tensor(targets[:, None]), covar_module=hamming_kernel(domain.cardinalities))
    try:
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs={"options": {"maxiter": _FIT_STEPS}}
        )
    except ModelFittingError:
        model.eval()  # flat data: the priors' hyperparameters stay
    return model


def _decode(rows: torch.Tensor, domain: Domain) -> IntArray:
    """Decode one-hot rows ``(n, h)`` to codes ``(n, d)``."""
    parts = np.split(rows.numpy(), np.cumsum(domain.cardinalities)[:-1], axis=1)
    return np.stack([part.argmax(axis=1) for part in parts], axis=1)


def _exact_model(context: Context, objective: int) -> Any:
    """Make a deterministic model that computes an objective by its cost function.

    An estimated objective of a trial is what the trial told.
    """
    from botorch.models.deterministic import GenericDeterministicModel

    estimated = context.problem.objectives[objective].estimated
    told = dict(zip(row_keys(context.codes), context.points[:, objective], strict=True)) if estimated else {}

    def compute(x: torch.Tensor) -> torch.Tensor:
        """Compute normalised values ``(..., 1)`` of one-hot rows ``(..., h)``."""
        rows = _decode(x.detach().reshape(-1, x.shape[-1]), context.problem.domain)
        values = context.normaliser(context.problem.known_values(rows))[:, objective]
        if told:
            values = np.array([told.get(key, value) for key, value in zip(row_keys(rows), values, strict=True)])
        return _tensor(values).reshape(*x.shape[:-1], 1)

    return GenericDeterministicModel(compute, num_outputs=1)


def log_nehvi_batch(
    context: Context, choices: IntArray, n: int, rng: np.random.Generator, *, exact_costs: bool, log_error: bool
) -> IntArray:
    """Choose a batch that greedily maximises qLogNEHVI (arXiv 2310.20708) over the choices; qLogNEI for one objective.

    Args:
        context: The study's view, with at least two successful trials.
        choices: Untried candidates ``(p, d)``.
        n: Size of the batch.
        rng: Seeds the quasi-random normal samples.
        exact_costs: Compute the objectives that have a cost function instead of learning them.
        log_error: Learn the logarithm of the distance to a ceiling instead of the values themselves.

    Returns:
        Codes ``(k, d)``, k <= n.

    Raises:
        SearchError: When BoTorch is not installed.
    """
    seed, domain = int(rng.integers(2**31)), context.problem.domain
    require_package("botorch", "a search with several expensive objectives")
    with seeded_torch():
        from botorch.optim.optimize import optimize_acqf_discrete

        acquisition = _acquisition(context, seed, exact_costs, log_error)
        chosen, _ = optimize_acqf_discrete(
            acquisition,
            q=min(n, len(choices)),
            choices=_tensor(domain.one_hot(choices)),
            max_batch_size=_CHUNK,
            unique=True,
        )
        return _decode(chosen, domain)


def _keep_from_compiling(logei: Any) -> None:
    """Keep BoTorch (from 0.18) from compiling its C++ kernel: it then uses its implementation in PyTorch.

    BoTorch would compile the kernel on first use, which takes half a minute in the middle of a search, into a
    cache that all processes and machines of a home directory share. A process that is killed meanwhile leaves a lock
    behind, and every later process waits for it forever. Without the kernel a batch takes 1.5 times as long, some
    tenths of a second more.
    """
    logei._load_attempted = True


def _acquisition(context: Context, seed: int, exact_costs: bool, log_error: bool) -> Any:
    """Make the acquisition function over the trials so far."""
    import torch
    from botorch.acquisition.multi_objective import logei
    from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
    from botorch.models.model import ModelList
    from botorch.models.model_list_gp_regression import ModelListGP
    from botorch.sampling.get_sampler import get_sampler

    models, ceilings = _models(context, exact_costs, log_error)
    model: Any = ModelListGP(*models) if all(c is not None for c in ceilings) else ModelList(*models)
    top = _tensor(np.array([np.nan if c is None else c for c in ceilings], dtype=np.float64))

    def objective(y: torch.Tensor, X: torch.Tensor | None = None) -> torch.Tensor:  # noqa: N803
        """Map targets ``(..., m)`` to normalised values ``(..., m)``."""
        # y = ceiling - exp(-t) where the model learned t (see `LogTarget`), y = t elsewhere.
        return torch.where(torch.isfinite(top), top - torch.exp(-y), y)

    baseline = _tensor(context.problem.domain.one_hot(context.codes))
    _keep_from_compiling(logei)
    sampler = get_sampler(model.posterior(baseline[:1]), torch.Size([_SAMPLES]), seed=seed)
    if len(context.problem.objectives) == 1:  # the hypervolume of one objective is its improvement
        from botorch.acquisition.logei import qLogNoisyExpectedImprovement
        from botorch.acquisition.objective import GenericMCObjective

        def first(y: torch.Tensor, X: torch.Tensor | None = None) -> torch.Tensor:  # noqa: N803
            return objective(y, X)[..., 0]

        single = GenericMCObjective(first)
        return qLogNoisyExpectedImprovement(
            model=model, X_baseline=baseline, sampler=sampler, objective=single, prune_baseline=True
        )
    return logei.qLogNoisyExpectedHypervolumeImprovement(
        model=model,
        ref_point=context.reference.tolist(),
        X_baseline=baseline,
        sampler=sampler,
        objective=GenericMCMultiOutputObjective(objective),
        prune_baseline=True,
    )


def _models(context: Context, exact_costs: bool, log_error: bool) -> tuple[list[Any], list[float | None]]:
    """Make a model for each objective, with the ceiling of its target: infinite when linear, `None` when computed."""
    models: list[Any] = []
    ceilings: list[float | None] = []
    for k, objective in enumerate(context.problem.objectives):
        values = context.points[:, k]
        if exact_costs and objective.cost_function is not None:
            models.append(_exact_model(context, k))
            ceilings.append(None)
            continue
        ceiling = np.inf
        if log_error:
            target = fit_target(values, float(context.reference[k]), context.normaliser.cap(k))
            ceiling, values = target.ceiling, target.transform(values)
        models.append(categorical_gp(context.codes, values, context.problem.domain))
        ceilings.append(ceiling)
    return models, ceilings

"""BoTorch's categorical kernel on one-hot rows. Imports torch, so nothing imports this module before it is needed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel, ScaleKernel

__all__ = ["hamming_kernel"]


class _HammingKernel(Kernel):  # type: ignore[misc]
    """Kernel ``exp(-mean_c(differs_c / lengthscale_c))`` over choices c: `botorch.models.kernels.CategoricalKernel`.

    On one-hot rows the distance is a product of matrices, which is an order of magnitude faster than comparing codes.

    Args:
        cardinalities: Number of values of each choice.
    """

    has_lengthscale = True

    def __init__(self, cardinalities: Sequence[int]) -> None:
        super().__init__(ard_num_dims=len(cardinalities), lengthscale_constraint=GreaterThan(1e-06))
        self.ard_num_dims = sum(cardinalities)  # what GPyTorch expects inputs to have
        self.register_buffer("owners", torch.repeat_interleave(torch.tensor(list(cardinalities))))

    def forward(
        self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, last_dim_is_batch: bool = False
    ) -> torch.Tensor:
        """Compute the kernel of one-hot rows ``(..., n, h)`` and ``(..., m, h)``: ``(..., n, m)``, or its diagonal."""
        if last_dim_is_batch:
            raise NotImplementedError("the kernel needs all choices together; last_dim_is_batch is not supported")
        # v_c = 1 / (number of choices * lengthscale_c): the weight of choice c in the mean.
        weights = 1.0 / (self.lengthscale * self.lengthscale.shape[-1])
        # On one-hot rows sum_c v_c differs_c = sum_c v_c - sum_h v_owner(h) x1_h x2_h.
        weighted = x1 * weights[..., self.owners]
        total = weights.sum(-1, keepdim=True)
        if diag:
            return torch.exp((weighted * x2).sum(-1) - total.squeeze(-1))
        return torch.exp(weighted @ x2.transpose(-1, -2) - total)


def hamming_kernel(cardinalities: Sequence[int]) -> ScaleKernel:
    """Make the kernel of `MixedSingleTaskGP` where every choice is categorical, for one-hot rows.

    Args:
        cardinalities: Number of values of each choice.
    """
    return ScaleKernel(_HammingKernel(cardinalities))

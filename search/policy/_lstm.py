"""The policy: an LSTM that sets one choice after the other. Imports torch: import this module only where needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from search._arrays import FloatArray, IntArray

__all__ = ["LSTMPolicy"]

_WIDTH = 0.1
_FORBIDDEN = -1e9


class LSTMPolicy(torch.nn.Module):
    """Probabilities of the values of each choice, given the values of the choices before it.

    The controller of Zoph and Le (2017, arXiv 1611.01578, section 3.1), with one more input: the preferences that the
    architecture is for, so that one policy covers a whole front.

    Args:
        cardinalities: Number of values of each of the d choices.
        preferences: Number of preferences m.
        hidden: Number of hidden units.
    """

    _offsets: torch.Tensor
    _mask: torch.Tensor

    def __init__(self, cardinalities: Sequence[int], preferences: int, hidden: int) -> None:
        super().__init__()
        self._most = max(cardinalities)
        # Token 0 starts a sequence; value v of choice t is token 1 + sum of the cardinalities before t + v.
        offsets = 1 + np.concatenate([[0], np.cumsum(cardinalities)[:-1]])
        self.register_buffer("_offsets", torch.as_tensor(offsets, dtype=torch.int64))
        allowed = np.arange(self._most) < np.asarray(cardinalities)[:, None]
        self.register_buffer("_mask", torch.as_tensor(np.where(allowed, 0.0, _FORBIDDEN)))
        double = torch.double
        self.embedding = torch.nn.Embedding(1 + sum(cardinalities), hidden, dtype=double)
        self.preference = torch.nn.Linear(preferences, hidden, dtype=double)
        self.cell = torch.nn.LSTM(hidden, hidden, batch_first=True, dtype=double)
        self.heads = torch.nn.Parameter(torch.zeros(len(cardinalities), hidden, self._most, dtype=double))
        self.biases = torch.nn.Parameter(torch.zeros(len(cardinalities), self._most, dtype=double))
        # Heads of 0 make the first policy uniform; small weights keep it smooth.
        for weights in self.embedding.parameters():
            torch.nn.init.uniform_(weights, -_WIDTH, _WIDTH)

    def forward(self, codes: torch.Tensor, preferences: torch.Tensor) -> torch.Tensor:
        """Compute log-probabilities of every value of every choice.

        Args:
            codes: Rows ``(n, d)``; choice t sees the codes before it.
            preferences: Preferences ``(n, m)``.

        Returns:
            Log-probabilities ``(n, d, c)``, c the largest cardinality; about -1e9 for values that do not exist.
        """
        tokens = torch.zeros_like(codes)
        tokens[:, 1:] = codes[:, :-1] + self._offsets[:-1]
        inputs = self.embedding(tokens) + self.preference(preferences)[:, None]
        hidden, _ = self.cell(inputs)
        logits = torch.einsum("nth,thc->ntc", hidden, self.heads) + self.biases
        return torch.log_softmax(logits + self._mask, dim=-1)

    @torch.no_grad()
    def sample(self, preferences: FloatArray, uniforms: FloatArray, temperature: float) -> IntArray:
        """Draw architectures.

        Args:
            preferences: Preferences ``(n, m)``.
            uniforms: Numbers ``(n, d)``, uniform on [0, 1), that decide the draws.
            temperature: Divides the logits; above 1 the draws are more diverse.

        Returns:
            Codes ``(n, d)``.
        """
        n, d = uniforms.shape
        wanted = self.preference(torch.as_tensor(preferences))
        drawn = np.zeros((n, d), dtype=np.int64)
        token, state = torch.zeros(n, dtype=torch.int64), None
        for t in range(d):
            hidden, state = self.cell((self.embedding(token) + wanted)[:, None], state)
            logits = hidden[:, 0] @ self.heads[t] + self.biases[t]
            probabilities = torch.softmax(logits / temperature + self._mask[t], dim=-1).numpy()
            # Inverse of the distribution function; rounding may leave its end just below 1.
            below = np.cumsum(probabilities, axis=1) <= uniforms[:, t : t + 1]
            drawn[:, t] = np.minimum(below.sum(axis=1), int((self._mask[t] == 0).sum()) - 1)
            token = self._offsets[t] + torch.as_tensor(drawn[:, t])
        return drawn

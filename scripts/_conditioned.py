"""One network that maps a preference and a device to a distribution, learned along the whole front (after MODNAS)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Dirichlet

from hwnas.oneshot import TabularExpectation

WIDTH = 64
REGULARISATION = 1e-3


class Conditioned(nn.Module):
    """Maps the logarithm of a cost's weight and features of a device to concentrations, as MODNAS's hypernetwork does.

    Sukthanker et al. 2024 (arXiv 2402.18213). Features of a device: what each value of each choice adds to its expected
    latency under the uniform distribution, in standard deviations.

    Args:
        latencies: Latency of every architecture on each device.
        weights: Least and greatest weight of the cost.
        lr: Learning rate of Adam.
    """

    def __init__(self, latencies: list[TabularExpectation], weights: tuple[float, float], lr: float) -> None:
        super().__init__()
        self.latencies, self._low, self._high = latencies, *np.log(weights).tolist()
        self.counts = tuple(latencies[0].space.cardinalities)
        self.features = [_features(own) for own in latencies]
        self.scales = [float(np.median(own.values)) for own in latencies]
        inputs, outputs = 1 + len(self.features[0]), sum(self.counts)
        layers = [nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs)]
        self.layers = nn.Sequential(*layers).double()
        self.adam = torch.optim.Adam(self.parameters(), lr=lr)

    def concentrations(self, device: int, weight: float) -> list[Tensor]:
        """Return the concentrations of each choice for one device and one weight of its latency."""
        place = 2 * (np.log(weight) - self._low) / (self._high - self._low) - 1
        outputs = self.layers(torch.cat([torch.tensor([place], dtype=torch.float64), self.features[device]]))
        self.outputs = outputs
        return list((torch.nn.functional.elu(outputs) + 1 + 1e-6).split(self.counts))

    def distribution(self, device: int, weight: float) -> list[Tensor]:
        """Return the means."""
        with torch.no_grad():
            return [own / own.sum() for own in self.concentrations(device, weight)]

    def learn(self, metric: TabularExpectation, steps: int, rng: np.random.Generator) -> None:
        """Take steps, each for a random device and a random weight."""
        for _ in range(steps):
            device, weight = int(rng.integers(len(self.latencies))), float(np.exp(rng.uniform(self._low, self._high)))
            concentrations = self.concentrations(device, weight)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(rng.integers(2**63)))
                drawn = [Dirichlet(own, validate_args=False).rsample() for own in concentrations]
            mean = [own / own.sum() for own in concentrations]
            cost = self.latencies[device](mean) / self.scales[device]
            self.adam.zero_grad()
            regular = 0.5 * REGULARISATION * self.outputs.square().sum()  # what weight decay is to DrNAS's alpha
            (1.0 - metric(drawn) + weight * cost + regular).backward()
            self.adam.step()


def _features(latency: TabularExpectation) -> Tensor:
    """Return what each value of each choice adds to the mean latency, in standard deviations."""
    axes = range(latency.values.ndim)
    parts = [latency.values.mean(axis=tuple(other for other in axes if other != axis)) for axis in axes]
    effects = np.concatenate([part - part.mean() for part in parts])
    return torch.from_numpy(effects / effects.std())

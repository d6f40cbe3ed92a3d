"""Models of an expensive objective: Gaussian processes, a forest, ensembles of them, rankings."""

from search.models._base import Fitted, Inputs, Model, Posterior
from search.models._ensemble import Ensemble
from search.models._forest import Forest
from search.models._gp import GaussianProcess
from search.models._low_fidelity import TwoFidelityModel
from search.models._make import MODELS, make_model
from search.models._ranking import Score, fit_pair_classifier, fit_ranking
from search.models._target import LogTarget, fit_target

__all__ = [
    "MODELS",
    "Ensemble",
    "Fitted",
    "Forest",
    "GaussianProcess",
    "Inputs",
    "LogTarget",
    "Model",
    "Posterior",
    "Score",
    "TwoFidelityModel",
    "fit_pair_classifier",
    "fit_ranking",
    "fit_target",
    "make_model",
]

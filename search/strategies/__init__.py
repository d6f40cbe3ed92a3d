"""The strategies other than LaMOO, and the interface of all strategies."""

from search.strategies._base import NamedStrategy, Strategy, Suggestion
from search.strategies._cmaes import CategoricalCMA
from search.strategies._controller import Controller
from search.strategies._ehvi import EHVISearch
from search.strategies._ehvi_learned import EHVILearned
from search.strategies._first_objective import FirstObjective
from search.strategies._low_fidelity_first import LowFidelityFirst
from search.strategies._mobopt import MOBOpt
from search.strategies._moead import MOEAD
from search.strategies._mutation import ParetoLocalSearch
from search.strategies._nsga2 import NSGA2
from search.strategies._nsga3 import NSGA3
from search.strategies._optuna import TPE, OptunaNSGA2
from search.strategies._parego import ParEGO
from search.strategies._qlognehvi import QLogNEHVI
from search.strategies._random import RandomSearch
from search.strategies._smem import SMEM

__all__ = [
    "MOEAD",
    "NSGA2",
    "NSGA3",
    "SMEM",
    "TPE",
    "CategoricalCMA",
    "Controller",
    "EHVILearned",
    "EHVISearch",
    "FirstObjective",
    "LowFidelityFirst",
    "MOBOpt",
    "NamedStrategy",
    "OptunaNSGA2",
    "ParEGO",
    "ParetoLocalSearch",
    "QLogNEHVI",
    "RandomSearch",
    "Strategy",
    "Suggestion",
]

"""The loop, the trainings it runs, and what they write; learning-rate schedules and training algorithms."""

from chimeramix.training.automix import AutoMix
from chimeramix.training.averages import EMA, SWA
from chimeramix.training.mixmatch import MixMatch
from chimeramix.training.schedules import Constant, Cosine, MultiStep, WarmUp

__all__ = ["EMA", "SWA", "AutoMix", "Constant", "Cosine", "MixMatch", "MultiStep", "WarmUp"]

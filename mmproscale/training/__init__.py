"""Runs, their loops and the hooks of these."""

from mmproscale.training.check_hooks import CheckpointMatchHook, GroundTruthCheckHook
from mmproscale.training.checkpoint_hook import AtomicCheckpointHook
from mmproscale.training.class_hooks import ClassCheckHook, ClassNamesHook
from mmproscale.training.finite_numbers import FiniteNumbersHook
from mmproscale.training.loops import ResumableEpochLoop, ResumableIterLoop
from mmproscale.training.norm_decay import NormDecayConstructor
from mmproscale.training.resume_hook import ResumeHook
from mmproscale.training.stop_hook import StopHook

__all__ = [
    "AtomicCheckpointHook",
    "CheckpointMatchHook",
    "ClassCheckHook",
    "ClassNamesHook",
    "FiniteNumbersHook",
    "GroundTruthCheckHook",
    "NormDecayConstructor",
    "ResumableEpochLoop",
    "ResumableIterLoop",
    "ResumeHook",
    "StopHook",
]

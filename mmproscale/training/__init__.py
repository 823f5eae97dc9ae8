"""Runs and the hooks of their loops."""

from mmproscale.training.check_hooks import CheckpointMatchHook, GroundTruthCheckHook
from mmproscale.training.checkpoint_hook import AtomicCheckpointHook
from mmproscale.training.class_hooks import ClassCheckHook, ClassNamesHook
from mmproscale.training.stop_hook import StopHook

__all__ = [
    "AtomicCheckpointHook",
    "CheckpointMatchHook",
    "ClassCheckHook",
    "ClassNamesHook",
    "GroundTruthCheckHook",
    "StopHook",
]

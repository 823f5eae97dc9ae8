"""Runs and the hooks of their loops."""

from mmproscale.training.check_hooks import CheckpointMatchHook, GroundTruthCheckHook
from mmproscale.training.checkpoint_hook import AtomicCheckpointHook
from mmproscale.training.class_check_hook import ClassCheckHook
from mmproscale.training.class_names_hook import ClassNamesHook

__all__ = [
    "AtomicCheckpointHook",
    "CheckpointMatchHook",
    "ClassCheckHook",
    "ClassNamesHook",
    "GroundTruthCheckHook",
]

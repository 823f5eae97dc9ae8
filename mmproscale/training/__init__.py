"""Hooks of the training loop, and files that are whole or not there."""

from mmproscale.training.checkpoint_hook import AtomicCheckpointHook
from mmproscale.training.checkpoint_match_hook import CheckpointMatchHook
from mmproscale.training.class_hooks import ClassCheckHook, ClassNamesHook
from mmproscale.training.ground_truth_check_hook import GroundTruthCheckHook

__all__ = [
    "AtomicCheckpointHook",
    "CheckpointMatchHook",
    "ClassCheckHook",
    "ClassNamesHook",
    "GroundTruthCheckHook",
]

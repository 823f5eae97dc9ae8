"""Hooks of the training loop, and files that are whole or not there."""

from mmproscale.engine.checkpoint_hook import AtomicCheckpointHook
from mmproscale.engine.checkpoint_match_hook import CheckpointMatchHook
from mmproscale.engine.class_check_hook import ClassCheckHook
from mmproscale.engine.class_names_hook import ClassNamesHook
from mmproscale.engine.ground_truth_check_hook import GroundTruthCheckHook

__all__ = [
    "AtomicCheckpointHook",
    "CheckpointMatchHook",
    "ClassCheckHook",
    "ClassNamesHook",
    "GroundTruthCheckHook",
]

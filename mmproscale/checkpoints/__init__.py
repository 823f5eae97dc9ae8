"""Checkpoint files: read as data only, matched with a model, and converted for a backbone.

mmengine reads checkpoints through this package. Importing it imports no torch.
"""

from types import ModuleType

from mmproscale.compat.import_hooks import call_after_import


def install_when_imported() -> None:
    """Replace mmengine's loaders by ours as soon as mmengine's own have been imported.

    Not at once: importing mmengine.runner imports torch, which takes seconds.
    """
    call_after_import("mmengine.runner.checkpoint", _install)


def _install(module: ModuleType) -> None:
    from mmproscale.checkpoints.mmengine_loaders import install

    install(module)

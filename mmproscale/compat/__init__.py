"""Additions that the installed OpenMMLab or its fork needs; each acts only where it is needed."""

from mmproscale.compat.import_hooks import install_stand_ins
from mmproscale.compat.installed_packages import check_versions, describe_stack, stack
from mmproscale.compat.onedl_fork import correct_fork
from mmproscale.compat.replaced_ops import replace_ops
from mmproscale.compat.torchvision_for_mmpretrain import serve_torchvision_to_mmpretrain


def apply() -> None:
    """Check the installed versions, then make every addition; may be called more than once.

    Raises:
        ImportError: A package is missing or too old, or two stacks are mixed.
    """
    check_versions()
    install_stand_ins()
    replace_ops()
    serve_torchvision_to_mmpretrain()
    correct_fork()


__all__ = ["apply", "describe_stack", "stack"]

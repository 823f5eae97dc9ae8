"""What OpenMMLab or its fork needs to run as installed today, each part only where it is absent."""

from mmproscale.compat.attention_fallback import replace_attention_fallback
from mmproscale.compat.config_packages import find_configs_of_the_fork
from mmproscale.compat.missing_modules import install_stand_ins
from mmproscale.compat.optional_datasets import keep_remarks_off_stdout
from mmproscale.compat.stacks import stack
from mmproscale.compat.torchvision_for_mmpretrain import serve_torchvision_to_mmpretrain
from mmproscale.compat.versions import check_versions, describe_stack


def apply() -> None:
    """Check the installed versions, offer the stand-ins, serve stock modules our attention.

    Safe to call more than once.

    Raises:
        ImportError: one line that names what is missing or too old, or two stacks that are mixed.
    """
    check_versions()
    install_stand_ins()
    replace_attention_fallback()
    serve_torchvision_to_mmpretrain()
    keep_remarks_off_stdout()
    find_configs_of_the_fork()


__all__ = [
    "apply",
    "check_versions",
    "describe_stack",
    "find_configs_of_the_fork",
    "install_stand_ins",
    "keep_remarks_off_stdout",
    "replace_attention_fallback",
    "serve_torchvision_to_mmpretrain",
    "stack",
]

"""Additions that the installed OpenMMLab or its fork needs; each acts only where it is needed."""

import warnings

from mmproscale.compat.config_text import format_configs_once
from mmproscale.compat.import_hooks import install_stand_ins
from mmproscale.compat.inferencers import accept_our_loading_in_inferencers
from mmproscale.compat.installed_packages import check_versions, describe_stack, stack
from mmproscale.compat.mmpretrain_imports import let_mmpretrain_be_imported
from mmproscale.compat.onedl_fork import correct_fork
from mmproscale.compat.replaced_ops import replace_ops
from mmproscale.compat.usage_data import decline_usage_data
from mmproscale.compat.yapf_grammar import share_grammar_cache


def apply() -> None:
    """Check the installed versions, then make every addition; may be called more than once.

    Raises:
        ImportError: A package is missing or too old, or two stacks are mixed.
    """
    check_versions()
    install_stand_ins()
    replace_ops()
    let_mmpretrain_be_imported()
    accept_our_loading_in_inferencers()
    correct_fork()
    share_grammar_cache()
    format_configs_once()
    decline_usage_data()
    # mmdet's position encodings call it without indexing, which torch means to require.
    warnings.filterwarnings("ignore", message="torch.meshgrid", module=r"torch\.functional")


__all__ = ["apply", "describe_stack", "stack"]

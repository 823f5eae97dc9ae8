"""Where the fork finds `mmseg::...` configs: mmengine knows the name of stock's package alone."""

from types import ModuleType

from mmproscale.compat.after_import import call_after_import
from mmproscale.compat.stacks import stack


def find_configs_of_the_fork() -> None:
    """Have mmengine look for mmseg's configs by its import name, where stock's package is not."""
    if stack() == "onedl":
        call_after_import("mmengine.config.utils", _name_by_import)


def _name_by_import(module: ModuleType) -> None:
    module.MODULE2PACKAGE["mmseg"] = "mmseg"

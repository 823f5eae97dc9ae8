"""What training and testing read of a config, without the variables that its bases leave in it."""

import inspect
from pathlib import Path

from mmengine.runner import Runner

from mmproscale.utils.config import load_config

READ = {*inspect.signature(Runner.__init__).parameters, "sync_bn", "custom_imports"}


def read_parts(path: Path) -> dict:
    """Return a resolved config's values that mmengine's Runner reads."""
    return {key: value for key, value in load_config(path).to_dict().items() if key in READ}

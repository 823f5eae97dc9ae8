"""Usage data of OpenVINO and NNCF: this process declines to send them.

Their package openvino-telemetry sends what is converted and quantised to its maker unless a user
has opted out. Each event is sent by a fork of the process. A fork of gigabytes stops all threads
for some tenths of a second, and one of a process with threads and signal handlers is not safe.
"""

from types import ModuleType
from typing import Any

from mmproscale.compat.import_hooks import call_after_import


def decline_usage_data() -> None:
    """Have openvino-telemetry find that the user declined, when it is imported."""
    call_after_import("openvino_telemetry.utils.opt_in_checker", _decline)


def _decline(module: ModuleType) -> None:
    declined = module.ConsentCheckResult.DECLINED

    def check(*_: Any, **__: Any) -> Any:
        return declined

    module.OptInChecker.check = check

"""OpenVINO sends no usage data from a process that uses this package."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("openvino_telemetry")

# Stock starts a process for each event, and keeps an identifier of the user in the home folder.
CONVERT = """
import multiprocessing
{first}
import numpy, openvino
started = []
multiprocessing.Process = lambda *args, **options: started.append(args)
x = openvino.opset13.parameter([1], numpy.float32)
from openvino.tools.ovc.telemetry_utils import init_ovc_telemetry
telemetry = init_ovc_telemetry()
telemetry.send_event("ovc", "a", "b")
telemetry.sender.executor.shutdown(wait=True)
print(len(started))
"""


@pytest.mark.parametrize(
    ("first", "events"),
    [("import mmproscale", 0), ("", 1)],
    ids=["with this package", "without"],
)
def test_events_are_sent_only_without_this_package(first, events, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CONVERT.format(first=first)],
        env=dict(PATH=os.environ["PATH"], HOME=str(tmp_path)),  # in CI, stock sends nothing either
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) == events
    assert (tmp_path / "intel").exists() == bool(events)

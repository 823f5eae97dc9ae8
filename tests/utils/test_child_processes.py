"""A child that stands apart gets no signal of the group, and ends with its parent."""

import os
import signal
import subprocess
import sys

import pytest
from helpers.stopped_commands import left, processes

FORK = """
import os, time
from mmproscale.utils.child_processes import stand_apart
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    stand_apart()
    os.write(writer, b"ready")
    time.sleep(60)
os.read(reader, 5)
print(child, flush=True)
time.sleep(60)
"""


@pytest.fixture
def family():
    """A process group's leader, and its child."""
    leader = subprocess.Popen(
        [sys.executable, "-c", FORK], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    child = int(leader.stdout.readline())
    yield leader, child
    leader.kill()
    leader.communicate()


def test_a_signal_to_the_group_does_not_reach_it(family):
    leader, child = family
    assert os.getpgid(child) == child != os.getpgid(leader.pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_parent(family, number):
    leader, child = family
    assert child in processes()
    leader.send_signal(number)
    leader.wait(timeout=10)
    assert not left({child})

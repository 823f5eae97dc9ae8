"""The signals' two ways, one that waits and one that does not, in real processes."""

import signal
import time

import pytest
from helpers.stopped_commands import Command

pytestmark = pytest.mark.slow

COMMAND = """
from mmproscale.cli.command_line import command_line
@command_line
def main():
    print("works", flush=True)
    {work}
main()
"""
IN_COMPILED_CODE = """
    import ctypes
    ctypes.CDLL(None).pthread_mutex_lock(lock := ctypes.create_string_buffer(64))
    ctypes.CDLL(None).pthread_mutex_lock(lock)
"""
IN_FINALIZER = """
    import time
    class Slow:
        def __del__(self):
            print("finalizes", flush=True)
            time.sleep(1)
            print("finalized", flush=True)
    one = Slow()
    del one
    time.sleep(60)
"""


def test_a_second_ctrl_c_leaves_where_compiled_code_hangs():
    command = Command("-c", COMMAND.format(work=IN_COMPILED_CODE))
    command.wait_for("works")
    time.sleep(0.3)
    command.stop(signal.SIGINT)
    time.sleep(0.3)
    command.stop(signal.SIGINT)
    assert command.end(timeout=10) == (130, "stopped by Ctrl-C\n")


def test_a_signal_during_a_finalizer_is_not_lost():
    command = Command("-c", COMMAND.format(work=IN_FINALIZER))
    command.wait_for("finalizes")
    time.sleep(0.3)
    command.stop(signal.SIGTERM)
    command.wait_for("finalized")
    assert command.end(timeout=10) == (143, "stopped by SIGTERM\n")


def test_ctrl_c_stays_ignored_in_a_background_job(tmp_path):
    ignore = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    command = Command("-c", ignore + COMMAND.format(work="import time; time.sleep(60)"))
    command.wait_for("works")
    command.stop(signal.SIGINT)
    time.sleep(0.3)
    assert command.process.poll() is None
    command.stop(signal.SIGTERM)
    assert command.end(timeout=10) == (143, "stopped by SIGTERM\n")


DEFERRED = """
    import time
    from mmproscale.utils.stop_signals import keeping, stop_requested, stops_deferred
    with keeping("3 files are written"), stops_deferred():
        while not stop_requested():
            time.sleep(0.01)
        print("whole", flush=True)
    print("never", flush=True)
"""


def test_deferred_work_is_finished_and_says_what_is_kept():
    command = Command("-c", COMMAND.format(work=DEFERRED))
    command.wait_for("works")
    time.sleep(0.3)
    command.stop(signal.SIGTERM)
    command.wait_for("whole")
    output, error = command.process.communicate(timeout=10)
    assert (command.process.returncode, output) == (143, "")
    assert error == "stopped by SIGTERM: 3 files are written\n"


FORKS = """
    import os, multiprocessing, time
    def fork():
        process = multiprocessing.get_context("fork").Process(target=int)
        process.start()
        process.join()
    print("forks", flush=True)
    while True: fork()
"""


def test_a_signal_during_a_fork_is_not_lost():
    for count in range(10):
        command = Command("-c", COMMAND.format(work=FORKS))
        command.wait_for("forks")
        time.sleep(0.03 * count)
        command.stop(signal.SIGTERM)
        assert command.end(timeout=20) == (143, "stopped by SIGTERM\n")

"""Types are recognised by their class, not by their name."""

import subprocess
import sys

import pytest
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS, Registry

from mmproscale.evaluation import UniversalSegMetric
from mmproscale.utils.registered import is_type, registered_class

OURS = "mmproscale.UniversalSegMetric"


@pytest.fixture
def own_metrics():
    """A user's subclass with another name, and a foreign class with a similar name."""
    registry = Registry("metric", parent=METRICS, scope="theirs")

    @registry.register_module(name="MyScores")
    class Subclass(UniversalSegMetric):
        pass

    @registry.register_module()
    class NotAUniversalSegMetric(BaseMetric):
        pass

    yield registry
    del METRICS.children["theirs"]


def test_a_users_subclass_is_recognised_by_any_name(own_metrics):
    subclass = own_metrics.module_dict["MyScores"]
    assert is_type("theirs.MyScores", METRICS, OURS)
    assert is_type("MyScores", METRICS, OURS, scope="theirs")
    assert is_type(subclass, METRICS, OURS)
    assert is_type("theirs.MyScores", METRICS, "mmdet.CocoMetric", UniversalSegMetric)


def test_a_name_with_the_same_ending_is_not_enough(own_metrics):
    assert not is_type("theirs.NotAUniversalSegMetric", METRICS, OURS)


def test_names_are_looked_up_in_their_scope():
    assert is_type("UniversalSegMetric", METRICS, OURS, scope="mmproscale")
    assert not is_type("UniversalSegMetric", METRICS, OURS, scope="mmdet")
    assert is_type("CocoMetric", METRICS, "mmdet.CocoMetric", scope="mmdet")
    assert not is_type("CocoPanopticMetric", METRICS, "mmdet.CocoMetric", scope="mmdet")


@pytest.mark.parametrize("name", ["Unknown", "mmdet.Unknown", "nowhere.Unknown", None, ""])
def test_unknown_names_are_no_type(name):
    assert not is_type(name, METRICS, OURS, scope="mmdet")


def test_a_registered_function_is_no_type():
    registry = Registry("function", scope="theirs")
    registry.register_module(name="call", module=len)
    assert registered_class("call", registry) is len
    assert not is_type("call", registry, int)


def test_the_wanted_type_is_not_imported():
    code = (
        "import sys, mmproscale\n"
        "from mmengine.registry import METRICS\n"
        "from mmproscale.utils.registered import is_type\n"
        "assert not is_type('DumpResults', METRICS, 'mmseg.IoUMetric', 'mmdet.CocoMetric')\n"
        "assert not {'mmseg', 'mmdet'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

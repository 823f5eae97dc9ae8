"""Devices by their names, and those that are not here."""

import pytest

from mmproscale.errors import InputError
from mmproscale.utils.devices import choose_device


def test_devices():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="'cuda:99' is not there"):
        choose_device("cuda:99")
    with pytest.raises(InputError, match="'tpv' is unknown"):
        choose_device("tpv")

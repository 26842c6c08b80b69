"""The registry of networks."""

from __future__ import annotations

import pytest

from asl_edge.errors import DataError
from asl_edge.training import networks


def test_alexnet_is_the_first_name():
    assert networks.names()[0] == "alexnet"


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(DataError, match="Unknown network 'lenet'. The networks are: alexnet"):
        networks.get("lenet")


def test_one_class_is_no_classification():
    with pytest.raises(DataError, match="two or more classes. Received: 1"):
        networks.build("alexnet", 1, 224)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="registered already"):
        networks.register(networks.get("alexnet"))

"""There is a network of each class to reckon with."""

from __future__ import annotations

import pytest

from tunnels.crossing.description import NetworkClass, decode, encode
from tunnels.crossing.typical import typical


@pytest.mark.parametrize("network_class", NetworkClass)
def test_a_typical_network_is_of_its_class_and_can_be_told(network_class: NetworkClass):
    assert typical(network_class).network_class is network_class
    assert decode(encode(typical(network_class))) == typical(network_class)

"""The seam between the zone and the gateway."""

from ipaddress import IPv4Address

from resolver.facts import NOT_FOUND, NameFacts, NameSource, NameStatus
from tests.lab.resolver_facts import FakeNames, exists


async def test_the_fake_is_a_name_source() -> None:
    names: NameSource = FakeNames()
    assert names.name_at(IPv4Address("127.80.9.9")) is None


def test_equal_facts_are_equal_values_so_that_a_kept_reply_can_be_checked() -> None:
    assert exists(IPv4Address("127.64.0.1")) == exists(IPv4Address("127.64.0.1"))
    assert NameFacts(NameStatus.NOT_FOUND) == NOT_FOUND

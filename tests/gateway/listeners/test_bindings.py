"""What is to listen where: alternatives in order, and plans that touch only what changed."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from gateway.listeners.bindings import LOCALHOST, Binding, places, plan
from resolver.names import ServiceProtocol

_IP = IPv4Address("127.80.3.1")


def _binding(port: int = 80, host: str = "web.alice.overlay", **more) -> Binding:
    return Binding(_IP, port, ServiceProtocol.TCP, host, **more)


def test_a_privileged_port_has_the_one_8000_higher_as_its_alternative() -> None:
    assert places(_binding(80)) == [(_IP, 80), (_IP, 8080), (_IP, 0), (LOCALHOST, 0)]
    assert places(_binding(443, mapped_port=20001)) == [
        (_IP, 443), (_IP, 8443), (_IP, 0), (LOCALHOST, 20001), (LOCALHOST, 0),
    ]  # fmt: skip
    assert places(_binding(1024)) == [(_IP, 1024), (_IP, 0), (LOCALHOST, 0)]


def test_a_plan_touches_only_what_changed() -> None:
    same, moved, gone, new = (_binding(port) for port in (1, 2, 3, 4))
    moved_host = _binding(2, "other.alice.overlay")
    steps = plan({b.key: b for b in (same, moved, gone)}, [same, moved_host, new, new], {}, 10)
    assert steps.close == (moved.key, gone.key)
    assert steps.open == (moved_host, new)
    assert steps.refused == ()


def test_beyond_the_limit_those_used_longest_ago_give_way() -> None:
    a, b, c, d = (_binding(port) for port in (1, 2, 3, 4))
    current = {a.key: a, b.key: b}
    steps = plan(current, [a, b, c, d], {b.key: 5.0, d.key: 9.0}, 2)
    assert steps.close == (a.key,)
    assert steps.open == (d,)
    assert steps.refused == (a, c)


_bindings = st.lists(
    st.builds(_binding, st.integers(1, 12), st.sampled_from(["x.overlay", "y.overlay"])), max_size=15
)


@given(_bindings, _bindings, st.dictionaries(st.integers(1, 12), st.floats(0, 9)), st.integers(0, 6))
def test_after_a_plan_what_listens_is_wanted_within_the_limit_and_stays(
    current, desired, used, limit
) -> None:
    times = {_binding(port).key: when for port, when in used.items()}
    listening = {b.key: b for b in current}
    steps = plan(listening, desired, times, limit)
    for key in steps.close:
        del listening[key]
    for binding in steps.open:
        assert binding.key not in listening
        listening[binding.key] = binding
    assert len(listening) <= limit
    assert all(binding in desired for binding in listening.values())
    wanted = {b.key for b in desired}
    assert len(listening) + len(steps.refused) == len(wanted)
    again = plan(listening, desired, times, limit)
    assert again.close == again.open == ()

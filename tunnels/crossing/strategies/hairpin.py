"""Hairpin: behind one NAT, each is reached at its outside address, because the NAT sends such datagrams back in.

Most home routers do not; where ours was seen to, two machines that a guest network or a second router keeps apart are joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunnels.crossing.strategies.passive import Passive

if TYPE_CHECKING:
    from tunnels.crossing.description import Pair


def _fits(pair: Pair) -> bool:
    """Whether the one NAT was seen to do it, and either can be told where the other one is."""
    seen = {pair.mine.behavior.hairpin, pair.theirs.behavior.hairpin}
    return (
        pair.is_behind_one_address
        and True in seen
        and False not in seen
        and not any(each.is_symmetric for each in pair.classes)
    )


STRATEGY = Passive(
    code=6,
    name="hairpin",
    summary="both are behind one NAT, which sends back in what is for its own address",
    fits=_fits,
    chance=lambda _: 0.9,
)

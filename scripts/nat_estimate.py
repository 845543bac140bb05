"""The parts of docs/NAT.md that follow from the code: `python scripts/nat_estimate.py` prints them, `--write` puts them there.

They are each strategy in the words of its room, the ladder between any two kinds of networks, and how many pairs of machines
get a direct path, by what was published of how many networks there are of each kind.
"""

from __future__ import annotations

import argparse
import importlib
import math
import pkgutil
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunnels.crossing import strategies
from tunnels.crossing.description import NetworkClass, Pair
from tunnels.crossing.history import History
from tunnels.crossing.ladder import ladder
from tunnels.crossing.registry import STRATEGIES
from tunnels.crossing.strategies import direct, punch, pwnat, reverse
from tunnels.crossing.typical import typical

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tunnels.crossing.ladder import Rung
    from tunnels.crossing.strategy import Cost, Strategy

DOCUMENT = Path(__file__).parent.parent / "docs" / "NAT.md"

OPEN, RESTRICTED, HOME, SEQUENTIAL, BLOCK, RANDOM, BLOCKED, UNKNOWN = NetworkClass
SHORT = {
    OPEN: "open",
    RESTRICTED: "address-restr.",
    HOME: "port-restr.",
    SEQUENTIAL: "sym. in order",
    BLOCK: "sym. in a block",
    RANDOM: "sym. random",
    BLOCKED: "UDP blocked",
    UNKNOWN: "unknown",
}

PLAIN = (direct.STRATEGY.code, reverse.STRATEGY.code, punch.STRATEGY.code)
"""What every library does: dial whoever can be dialled, else both send from the port that is known."""

Shares = dict[NetworkClass, float]


# --- what was published --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Distribution:
    """How many networks there are of each kind, at both ends of a connection."""

    name: str
    source: str
    """As docs/NAT.md numbers them."""
    mine: Shares
    theirs: Shares | None = None
    """None: as mine."""


def _rest(kind: NetworkClass, **shares: float) -> Shares:
    """The shares, and what is left over for one kind."""
    named = {NetworkClass[name.upper()]: share for name, share in shares.items()}
    return {**named, kind: named.get(kind, 0.0) + 1 - sum(named.values())}


def _dcutr() -> float:
    """The share of homes that would make plain punching work in 70 % of pairs, if all others were symmetric."""
    return math.sqrt(0.70 / punch.STRATEGY.success(Pair(typical(HOME), typical(HOME))))


_WEBRTC: Shares = {OPEN: 0.18, HOME: 0.72, RANDOM: 0.10}
_PHONES = _rest(RANDOM, port_restricted=2 / 3)

DISTRIBUTIONS = (
    Distribution("NATs tested in 2005", "1", _rest(RANDOM, port_restricted=0.82)),
    Distribution("peers of 2010, all others open", "2", _rest(OPEN, port_restricted=0.64)),
    Distribution("peers of 2010, all others symmetric", "2", _rest(RANDOM, port_restricted=0.64)),
    Distribution("what explains 70 % of 2025", "3", _rest(RANDOM, port_restricted=_dcutr())),
    Distribution("what explains 15 % relayed calls", "4", _WEBRTC),
    Distribution(
        "the same, and 3 % without UDP",
        "4, 5",
        {kind: 0.97 * share for kind, share in _WEBRTC.items()} | {BLOCKED: 0.03},
    ),
    Distribution("phones among each other", "6", _PHONES),
    Distribution("a phone and a home", "4, 6", _PHONES, _WEBRTC),
    Distribution(
        "phones, symmetric ones in blocks of 1024 ports", "6, 7", _rest(BLOCK, port_restricted=2 / 3)
    ),
    Distribution("an office firewall and a home router", "8", {RANDOM: 1.0}, {HOME: 1.0}),
)


# --- the estimate --------------------------------------------------------------------------------------------


def rungs_of(mine: NetworkClass, theirs: NetworkClass) -> tuple[Rung, ...]:
    """What is tried between usual networks of these kinds."""
    return ladder(Pair(typical(mine), typical(theirs)), History())


def plain(rungs: tuple[Rung, ...]) -> float:
    """What dialling and punching give."""
    return max((rung.success for rung in rungs if rung.strategy.code in PLAIN), default=0.0)


def best(rungs: tuple[Rung, ...]) -> float:
    """What the likeliest direct rung gives alone: as if all others failed where it fails."""
    return max((rung.success for rung in rungs if rung.is_direct), default=0.0)


def together(rungs: tuple[Rung, ...]) -> float:
    """What all direct rungs give one after the other, as if each failed for reasons of its own."""
    return 1 - math.prod(1 - rung.success for rung in rungs if rung.is_direct)


def estimate(distribution: Distribution, direct_of: Callable[[tuple[Rung, ...]], float]) -> float:
    """How many pairs get a direct path."""
    theirs: Mapping[NetworkClass, float] = distribution.theirs or distribution.mine
    return sum(
        share * other * direct_of(rungs_of(mine, kind))
        for mine, share in distribution.mine.items()
        for kind, other in theirs.items()
    )


# --- as markdown ---------------------------------------------------------------------------------------------


def estimate_table() -> str:
    lines = [
        "| networks | source | plain punching | best rung alone | all rungs |",
        "|---|---|---|---|---|",
    ]
    for each in DISTRIBUTIONS:
        shares = (estimate(each, way) for way in (plain, best, together))
        lines.append(
            f"| {each.name} | {each.source} | {' | '.join(_percent(share, 1) for share in shares)} |"
        )
    return "\n".join(lines)


def ladder_table() -> str:
    kinds = list(NetworkClass)
    lines = [
        f"| we ↓, the peer → | {' | '.join(SHORT[kind] for kind in kinds)} |",
        "|---" * (len(kinds) + 1) + "|",
    ]
    for mine in kinds:
        cells = (", ".join(_names(rungs_of(mine, theirs))) for theirs in kinds)
        lines.append(f"| **{SHORT[mine]}** | {' | '.join(cells)} |")
    return "\n".join(lines)


def _names(rungs: tuple[Rung, ...]) -> list[str]:
    """Of the direct ones: after these, TURN and the relay are the same everywhere."""
    return [f"{rung.strategy.name} {_percent(rung.success, 0)}" for rung in rungs if rung.is_direct] or ["-"]


def _percent(share: float, digits: int) -> str:
    """Rounded, but nothing is certain."""
    text = f"{share:.{digits}%}"
    most = f"{1 - 10 ** -(digits + 2):.{digits}%}"
    return f">{most}" if text == f"{1:.{digits}%}" else text


def strategy_texts() -> str:
    rooms = {}
    for room in pkgutil.iter_modules(strategies.__path__):
        module = importlib.import_module(f"{strategies.__name__}.{room.name}")
        if hasattr(module, "STRATEGY"):
            rooms[module.STRATEGY.code] = module
    return "\n\n".join(_text(strategy, str(rooms[strategy.code].__doc__)) for strategy in STRATEGIES)


def _text(strategy: Strategy, doc: str) -> str:
    words = re.sub(
        f"^{re.escape(strategy.name)}: ", "", doc.strip().replace(" Sans-IO.", ""), flags=re.IGNORECASE
    )
    words = words[0].upper() + words[1:]
    return f"**{strategy.name[0].upper()}{strategy.name[1:]}** ({_costs(strategy)}). {words}"


def _costs(strategy: Strategy) -> str:
    """Over all usual pairs that it suits."""
    costs = [
        strategy.cost(pair)
        for pair in (Pair(typical(mine), typical(theirs)) for mine in NetworkClass for theirs in NetworkClass)
        if strategy.suits(pair)
    ]
    seconds = max((cost.seconds for cost in costs), default=0.0)
    if strategy is pwnat.STRATEGY:
        return "only before there is a connection"
    if not seconds:
        return "nothing but pings" if _is_direct(strategy) else "no attempt"

    def most(count: Callable[[Cost], int]) -> int:
        return max(map(count, costs))

    sockets = most(lambda cost: cost.sockets)
    return (
        f"at most {seconds:.0f} s; {most(lambda cost: cost.datagrams)} datagrams and "
        f"{sockets} socket{'s' if sockets != 1 else ''} of one end"
    )


def _is_direct(strategy: Strategy) -> bool:
    return bool(getattr(strategy, "is_direct", True))


PARTS = {"strategies": strategy_texts, "ladder": ladder_table, "estimate": estimate_table}


def written(document: str) -> str:
    """The document with each part between its markers as it is now."""
    for name, make in PARTS.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if document.count(begin) != 1 or document.count(end) != 1:
            raise SystemExit(f"docs/NAT.md should have {begin} … {end} once")
        before, rest = document.split(begin)
        document = f"{before}{begin}\n\n{make()}\n\n{end}{rest.split(end)[1]}"
    return document


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put them into docs/NAT.md")
    if parser.parse_args().write:
        DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(*(make() for make in PARTS.values()), sep="\n\n")


if __name__ == "__main__":
    main()

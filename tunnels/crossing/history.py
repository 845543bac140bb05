"""What worked between two networks, so that it is tried first when they meet again. Sans-IO: its keeper writes it to a file.

Networks are told apart by labels that say nothing of them (`Description.network`). A file that cannot be read is an empty history:
all that is lost is time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from tunnels.crossing import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_VERSION: Final = 1

_Label = Annotated[bytes, Meta(min_length=1, max_length=limits.NETWORK_LABEL_BYTES)]
_Count = Annotated[int, Meta(ge=0, le=limits.HISTORY_COUNT)]


@dataclass(slots=True)
class _Outcomes:
    """Of one strategy between two networks."""

    successes: int = 0
    failures: int = 0
    """Since the last success."""


class _Row(msgspec.Struct, frozen=True, array_like=True):
    code: Annotated[int, Meta(ge=1, le=255)]
    successes: _Count
    failures: _Count


class _Pair(msgspec.Struct, frozen=True, array_like=True):
    mine: _Label
    theirs: _Label
    rows: Annotated[tuple[_Row, ...], Meta(max_length=limits.HISTORY_STRATEGIES)]


class _File(msgspec.Struct, frozen=True, array_like=True):
    version: Annotated[int, Meta(ge=_VERSION, le=_VERSION)]
    pairs: Annotated[tuple[_Pair, ...], Meta(max_length=limits.HISTORY_PAIRS)]


_decoder: Final = msgspec.msgpack.Decoder(_File)


class History:
    """Outcomes of strategies by pairs of networks; the pair that was met longest ago is forgotten first.

    What is newer is told by the order of things, so no clock is needed that goes on over restarts.
    """

    def __init__(self, pairs: Iterable[_Pair] = ()) -> None:
        """From a file."""
        self._pairs: OrderedDict[tuple[bytes, bytes], dict[int, _Outcomes]] = OrderedDict(
            (
                (pair.mine, pair.theirs),
                {row.code: _Outcomes(row.successes, row.failures) for row in pair.rows},
            )
            for pair in pairs
        )
        self.changed: Callable[[], None] = lambda: None
        """Called after each change."""

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return f"<History of {len(self)} pairs of networks>"

    def note(self, mine: bytes, theirs: bytes, code: int, *, worked: bool) -> None:
        """How a strategy ended. Of a network without a label nothing is kept."""
        if not mine or not theirs:
            return
        outcomes = self._pairs.setdefault((mine, theirs), {})
        self._pairs.move_to_end((mine, theirs))
        outcome = outcomes.get(code) or _Outcomes()
        if worked:
            outcome.successes = min(outcome.successes + 1, limits.HISTORY_COUNT)
            outcome.failures = 0
            outcomes.pop(code, None)  # to the end
        else:
            outcome.failures = min(outcome.failures + 1, limits.HISTORY_COUNT)
        outcomes[code] = outcome
        if len(outcomes) > limits.HISTORY_STRATEGIES:
            del outcomes[next(iter(outcomes))]
        while len(self._pairs) > limits.HISTORY_PAIRS:
            self._pairs.popitem(last=False)
        self.changed()

    def worked(self, mine: bytes, theirs: bytes) -> tuple[int, ...]:
        """Codes of strategies that worked there and have not failed too often since: the fewest failures first, then the newest."""
        outcomes = self._pairs.get((mine, theirs), {})
        codes = [
            code
            for code, outcome in reversed(outcomes.items())
            if outcome.successes and outcome.failures < limits.HISTORY_GIVEN_UP
        ]
        return tuple(sorted(codes, key=lambda code: outcomes[code].failures))

    def failures(self, mine: bytes, theirs: bytes, code: int) -> int:
        """How often in a row it failed there, up to the last time."""
        outcome = self._pairs.get((mine, theirs), {}).get(code)
        return 0 if outcome is None else outcome.failures

    def encode(self) -> bytes:
        """For a file."""
        return msgspec.msgpack.encode(
            _File(
                _VERSION,
                tuple(
                    _Pair(
                        mine,
                        theirs,
                        tuple(
                            _Row(code, outcome.successes, outcome.failures)
                            for code, outcome in outcomes.items()
                        ),
                    )
                    for (mine, theirs), outcomes in self._pairs.items()
                ),
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> History:
        """What `encode` gave; empty if it is anything else."""
        try:
            return cls(_decoder.decode(data).pairs)
        except (ValueError, RecursionError):
            return cls()

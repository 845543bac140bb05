"""How many of something each endpoint has, and all together: a count that refuses beyond its bounds. No I/O."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunnels.identity import EndpointId


class Quota:
    """Counts per endpoint and in total; what was taken must be given back."""

    __slots__ = ("_counts", "_per_endpoint", "_total", "taken")

    def __init__(self, *, per_endpoint: int, total: int) -> None:
        self._counts: Counter[EndpointId] = Counter()
        self._per_endpoint = per_endpoint
        self._total = total
        self.taken = 0

    def take(self, endpoint_id: EndpointId) -> bool:
        """Count one more; False, and nothing counted, when a bound is reached."""
        if self.taken >= self._total or self._counts.get(endpoint_id, 0) >= self._per_endpoint:
            return False
        self._counts[endpoint_id] += 1
        self.taken += 1
        return True

    def give(self, endpoint_id: EndpointId) -> None:
        """Count one less."""
        self.taken -= 1
        self._counts[endpoint_id] -= 1
        if not self._counts[endpoint_id]:
            del self._counts[endpoint_id]

    def __repr__(self) -> str:
        return f"Quota({self.taken} of {self._total}, {len(self._counts)} endpoints)"

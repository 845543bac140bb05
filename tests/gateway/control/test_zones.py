"""What is asked and told of zones, on the wire."""

from __future__ import annotations

import msgspec
import pytest

from gateway.control import zones


@pytest.mark.parametrize(
    "request_",
    [
        zones.ZoneSetRequest(label="@", type="TXT", value=("a", "b"), add=True),
        zones.ZoneUnsetRequest(label="a"),
        zones.ProfileRequest(name="", links=()),
        zones.ZoneImportRequest(text="x", replace=True),
    ],
)
def test_requests_go_over_the_wire_as_they_are(request_: msgspec.Struct) -> None:
    assert msgspec.json.decode(msgspec.json.encode(request_), type=type(request_)) == request_


def test_what_a_profile_does_not_say_stays_and_what_is_empty_goes() -> None:
    read = msgspec.json.decode(b'{"name": ""}', type=zones.ProfileRequest)
    assert (read.name, read.description, read.links) == ("", None, None)


@pytest.mark.parametrize(
    "data",
    [
        {"label": "a", "type": "TXT", "value": ["x"], "ttl": 5},
        {"label": "a" * 254, "type": "TXT", "value": ["x"]},
        {"label": "a", "type": "TXT", "value": ["x"] * 33},
        {"label": "a", "type": "TXT", "value": ["x" * 1001]},
    ],
)
def test_what_is_too_much_or_unknown_is_refused(data: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(data, zones.ZoneSetRequest)

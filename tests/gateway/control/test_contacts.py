"""What is asked and told of an import of contacts, on the wire."""

from __future__ import annotations

import msgspec
import pytest

from gateway.config import ServiceSettings
from gateway.control.contacts import GroupRequest, ImportedContact, ImportRequest
from gateway.control.services import ExposeRequest
from gateway.limits import CONTROL_BODY_BYTES, GROUP_CONTACTS, IMPORT_CONTACTS
from resolver.limits import CONTACT_ADDRESSES, CONTACT_GROUPS, LABEL_CHARACTERS

LARGEST = ImportedContact(
    petname="x" * LABEL_CHARACTERS,
    id="y" * 52,
    addresses=(f"[{':'.join(['ffff'] * 8)}]:65535",) * CONTACT_ADDRESSES,
    path="direct-only",
    groups=("z" * LABEL_CHARACTERS,) * CONTACT_GROUPS,
)


def test_a_whole_portion_of_contacts_fits_into_a_request_and_a_larger_one_is_none() -> None:
    request = ImportRequest(contacts=(LARGEST,) * IMPORT_CONTACTS)
    data = msgspec.json.encode(request)
    assert len(data) <= CONTROL_BODY_BYTES
    assert msgspec.json.decode(data, type=ImportRequest) == request
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"contacts": [msgspec.to_builtins(LARGEST)] * (IMPORT_CONTACTS + 1)}, ImportRequest)


def test_the_largest_group_and_the_longest_list_of_who_is_allowed_fit_into_a_request() -> None:
    group = GroupRequest(group="x" * LABEL_CHARACTERS, petnames=("y" * LABEL_CHARACTERS,) * GROUP_CONTACTS)
    allow = (f"contacts-of:{'z' * LABEL_CHARACTERS}",) * 1000  # as many as [services.NAME] takes
    expose = ExposeRequest(name="web", settings=ServiceSettings(target="unix:" + "/" * 290, allow=allow))
    for request in (group, expose):
        data = msgspec.json.encode(request)
        assert len(data) <= CONTROL_BODY_BYTES
        assert msgspec.json.decode(data, type=type(request)) == request

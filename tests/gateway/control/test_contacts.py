"""What is asked and told of an import of contacts, on the wire."""

from __future__ import annotations

import msgspec
import pytest

from gateway.control.contacts import ImportedContact, ImportRequest
from gateway.limits import CONTROL_BODY_BYTES, IMPORT_CONTACTS
from resolver.limits import CONTACT_ADDRESSES, LABEL_CHARACTERS

LARGEST = ImportedContact(
    petname="x" * LABEL_CHARACTERS,
    id="y" * 52,
    addresses=(f"[{':'.join(['ffff'] * 8)}]:65535",) * CONTACT_ADDRESSES,
    path="direct-only",
)


def test_a_whole_portion_of_contacts_fits_into_a_request_and_a_larger_one_is_none() -> None:
    request = ImportRequest(contacts=(LARGEST,) * IMPORT_CONTACTS)
    data = msgspec.json.encode(request)
    assert len(data) <= CONTROL_BODY_BYTES
    assert msgspec.json.decode(data, type=ImportRequest) == request
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"contacts": [msgspec.to_builtins(LARGEST)] * (IMPORT_CONTACTS + 1)}, ImportRequest)

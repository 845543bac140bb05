"""The errors of the resolver, and who is to blame; each str() is one line that says what, why and the remedy.

::

    ResolverError
     ├── InvalidName            what a person typed is no name under .overlay       (ours; also a ValueError)
     ├── RecordError            a signed record cannot be used                      (theirs)
     │    ├── BadSignature      it was not made by the endpoint it speaks of
     │    ├── MalformedRecord   its bytes are not what the format asks for
     │    ├── ForeignVersion    it was made by a newer overlay
     │    └── RecordExpired     its owner did not renew it in time
     ├── MalformedMessage       a datagram on the local network is none of ours     (theirs)
     ├── RecordTooLarge         what we want to publish does not fit                (ours)
     ├── InvalidZone            what a person wrote is no record of a zone          (ours; also a ValueError)
     │    └── ZoneTooLarge      it does not fit
     ├── TicketError            a ticket's text cannot be read
     │    ├── NotATicket        it is something else
     │    ├── TicketTruncated   its end is missing
     │    └── TicketDamaged     a character is wrong
     ├── ContactError           the address book refuses a change; nothing changed  (ours)
     │    ├── ContactConflict   another contact has this petname or this id
     │    └── ContactNotFound   no contact has this petname
     ├── InvalidContacts        a file is no list of contacts                        (ours; also a ValueError)
     ├── InvalidState           a saved state file does not hold what it should     (ours)
     ├── LimitReached           a bound of `resolver.limits`; existing entries are untouched
     ├── ListenError            the DNS server cannot have its address              (ours)
     └── DiscoveryError         a record source failed; others are asked anyway     (theirs)
          └── DhtMissing        the extra that the DHT needs is not installed       (ours)

Foreign exceptions (dnslib, msgspec, socket) are mapped to these where they arise and nowhere else.
"""


class ResolverError(Exception):
    """Base of every error that the resolver raises on purpose."""


class InvalidName(ResolverError, ValueError):
    """The text is not a name, petname or service name; the message says which rule it breaks."""


class RecordError(ResolverError):
    """A signed record cannot be used; what we knew before stays as it was."""


class BadSignature(RecordError):
    """The record was not made by the endpoint it speaks of."""


class MalformedRecord(RecordError):
    """The bytes are not a signed packet, or not one that describes an overlay endpoint."""


class ForeignVersion(RecordError):
    """The record or ticket was made by a newer overlay than this one."""


class RecordExpired(RecordError):
    """The record's owner did not renew it in time; the message says when it expired."""


class MalformedMessage(ResolverError):
    """A datagram, or a service's text, from the local network is not what we say there."""


class RecordTooLarge(ResolverError):
    """What we want to publish does not fit; `excess` is the number of bytes too many."""

    def __init__(self, excess: int) -> None:
        super().__init__(
            f"the record is {excess} bytes too large; publish fewer addresses or public services, or a shorter nickname"
        )
        self.excess = excess


class InvalidZone(ResolverError, ValueError):
    """What a person wrote cannot stand in a zone; the message says why and what to write."""


class ZoneTooLarge(InvalidZone):
    """The zone does not fit into our record; `excess` is the number of bytes too many."""

    def __init__(self, excess: int, what: str = "bytes") -> None:
        super().__init__(
            f"the zone is {excess} {what} too large; nothing was changed: make it shorter, or remove something with: overlay zone unset"
        )
        self.excess = excess


class TicketError(ResolverError):
    """A ticket's text cannot be read."""


class NotATicket(TicketError):
    """The text is something else; the message says what, where it can be told."""


class TicketTruncated(TicketError):
    """The end of the ticket is missing."""


class TicketDamaged(TicketError):
    """A character of the ticket is wrong, or there is one too many."""


class ContactError(ResolverError):
    """The address book refuses a change; nothing changed."""


class ContactConflict(ContactError):
    """Another contact has this petname, or this endpoint has another petname; the message names it."""


class ContactNotFound(ContactError):
    """No contact has this petname; the message names the nearest one."""


class InvalidContacts(ResolverError, ValueError):
    """A file does not hold contacts as they are written; the message names the place in it."""


class InvalidState(ResolverError):
    """A saved state does not hold what it should; the message names the place in it."""


class LimitReached(ResolverError):
    """A table is full; its entries are untouched."""


class ListenError(ResolverError):
    """The DNS server cannot have the address it was told to listen on."""


class DiscoveryError(ResolverError):
    """A record source failed; the others are asked all the same."""


class DhtMissing(DiscoveryError):
    """The library that the DHT needs is not installed; the message says how to install it."""

"""Every bound of `gateway.invites`, with its reason; those that other rooms keep to as well stand in `gateway.limits`."""

from typing import Final

INVITE_LINKS: Final = 4
"""Links of an invite: its issuer's, and three times passed on; each costs its reader two signatures, and 200 characters."""

INVITE_SERVICES: Final = 16
"""Services that one invite names; beyond that `--allow contacts` is what is meant."""

INVITE_SERVICE_BYTES: Final = 320
"""Their names together: an invite with one link fits one message of a beacon (`tunnels.limits.RELAY_MESSAGE`)."""

INVITE_USES: Final = 1000
"""Endpoints that one invite is good for: a club; each is a contact afterwards."""

INVITE_SKEW_SECONDS: Final = 300.0
"""By which the clocks of two machines may differ without a word: those without a time server drift minutes in months."""

INVITE_BYTES: Final = 4 * 1024
"""The largest invite, in bytes: a full record and four links with sixteen services each."""

INVITE_CHARACTERS: Final = 8 * 1024
"""The same as text (6600 characters), with room for the line breaks and quote marks of mail."""

REDEEM_MESSAGE_BYTES: Final = 6 * 1024
"""One message about an invite that is redeemed: the longest chain, a record and a nickname."""

REDEEM_SECONDS: Final = 10.0
"""For that message to arrive: it is sent with the stream itself."""

REDEEMS_PER_SECOND: Final = 0.5
REDEEM_BURST: Final = 32
"""Invites that one endpoint shows us: each is verified, and the ledger gone through. Who comes back after weeks has several,
and asks again after seconds when it is told to wait."""

REDEEM_CALLERS: Final = 1024
"""Endpoints whose showing of invites is counted: each had to shake hands, which costs more than what is saved here."""

INVITES_ISSUED: Final = 1024
"""Invites that an issuer remembers; those that expired make room, then those that were revoked. Each is about 300 bytes on disk."""

INVITE_REDEMPTIONS: Final = 4096
"""Redemptions that it remembers: as many as there may be contacts."""

INVITES_HELD: Final = 256
"""Invites of others that are kept; those that are over make room. Each is about a kilobyte."""

INVITE_RETRY_SECONDS: Final = 2.0
"""From the first failed attempt to redeem an invite to the next; doubled each time."""

INVITE_ATTEMPTS: Final = 8
"""Invites that are tried at once: each dials an issuer, which may be offline."""

INVITE_RETRY_LONGEST: Final = 300.0
"""Longest time between attempts: an issuer that was offline for days is found minutes after it came back."""

CODES: Final = 4
"""Spoken codes of ours that wait at once, as many as a beacon lets us have."""

CODES_OVER: Final = 16
"""Codes whose end is remembered for whoever asks what became of them."""

CODE_SECONDS: Final = 20.0
"""From the first word of an exchange by a spoken code to its last: a few round trips by way of a beacon, and people wait."""

CODE_POLL_SECONDS: Final = 10.0
"""For which an answer about a spoken code waits for news of it: the command line gives up on an answer after 30 s."""

TAKE_SECONDS: Final = 60.0
"""For which the command line waits for an issuer that is being dialled, beyond what any answer takes."""

GRANTS_LOOK_SECONDS: Final = 30.0
"""Longest time between two looks for grants that have ended: the machine's clock may be set, and timers do not see that."""

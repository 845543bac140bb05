"""The errors of the gateway: each message is one line that says what, why and the remedy.

::

    GatewayError              exit code 1 at the command line
     ├── UsageError           exit code 2: what the person asked for makes no sense
     │    └── ChooseName      another name is to be chosen for a contact, and here is one
     ├── ConfigurationError   exit code 3: the file, key and value that are wrong, and the nearest right key
     ├── StateError           exit code 4: the home directory: locked, full, read-only, corrupt
     ├── NotRunning           exit code 5: no daemon answers on the control socket
     ├── StoreUnavailable     a database does not answer; see `gateway.database`
     ├── VoucherError         why a voucher is not taken; see `gateway.vouchers`
     └── DialError            why a service could not be opened; see `gateway.dialing`
"""

from typing import ClassVar


class GatewayError(Exception):
    """Base of every error that the gateway raises on purpose; str() is the line a person reads."""

    exit_code: ClassVar[int] = 1


class UsageError(GatewayError):
    """What the person asked for makes no sense; nothing was changed."""

    exit_code: ClassVar[int] = 2


class ChooseName(UsageError):
    """Nobody but the person may say what a contact is called; `suggestion` is a name that is free, for a question."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.suggestion = suggestion


class ConfigurationError(GatewayError):
    """A setting is wrong; the message names file, key, value and the nearest right key."""

    exit_code: ClassVar[int] = 3


class StateError(GatewayError):
    """The home directory cannot be used as it is; nothing in it was changed or lost."""

    exit_code: ClassVar[int] = 4


class NotRunning(GatewayError):
    """No daemon answers on the control socket of this home directory."""

    exit_code: ClassVar[int] = 5


class StoreUnavailable(GatewayError):
    """A database does not answer; what needs it is refused, everything else goes on."""

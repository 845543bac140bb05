"""The ports that services are known by, so that `web` means 80 and an SRV query for `_http` finds it.

Names as in IANA's service registry, with the few others that people really type.
"""

from typing import Final

WELL_KNOWN_PORTS: Final = {
    "web": 80,
    "http": 80,
    "https": 443,
    "ssh": 22,
    "sftp": 22,
    "sftp-ssh": 22,
    "ftp": 21,
    "telnet": 23,
    "smtp": 25,
    "dns": 53,
    "domain": 53,
    "pop3": 110,
    "ntp": 123,
    "imap": 143,
    "ldap": 389,
    "smb": 445,
    "microsoft-ds": 445,
    "submission": 587,
    "ipp": 631,
    "imaps": 993,
    "mqtt": 1883,
    "nfs": 2049,
    "mysql": 3306,
    "rdp": 3389,
    "ms-wbt-server": 3389,
    "git": 9418,
    "postgres": 5432,
    "postgresql": 5432,
    "vnc": 5900,
    "rfb": 5900,
    "xmpp-client": 5222,
    "redis": 6379,
    "minecraft": 25565,
}
"""Service name to its usual port."""


def well_known_port(service: str) -> int | None:
    """The port a service of this name usually has, or None."""
    return WELL_KNOWN_PORTS.get(service)


def is_known_as(label: str, service: str, port: int) -> bool:
    """Whether a service of this name and port may be asked for by `label`.

    By its name, by the usual name of its port, or by another name of the same thing (`http` for `web`).
    """
    if label == service:
        return True
    known = WELL_KNOWN_PORTS.get(label)
    return known is not None and known in (port, WELL_KNOWN_PORTS.get(service))

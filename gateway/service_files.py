"""The gateway as a service: the file that systemd, launchd or the task scheduler of Windows wants, and the commands around it.

Everything is text made of a `Service`; `gateway.service_manager` puts it in place where systemd runs. Each directive of the
units has its reason beside it, in the unit itself, because that is where people look when one is in their way.
"""

from __future__ import annotations

import plistlib
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from xml.etree import ElementTree

from gateway.errors import UsageError
from gateway.limits import SERVICE_MEMORY, SERVICE_STOP_SECONDS, SERVICE_WATCHDOG_SECONDS

if TYPE_CHECKING:
    from pathlib import PurePath

Kind = Literal["systemd", "launchd", "windows"]

LABEL: Final = "net.overlay."
"""What the name of a service begins with for launchd, which wants it in the style of a domain."""


@dataclass(frozen=True, slots=True)
class Service:
    """What is to run, and for whom."""

    program: tuple[str, ...]
    """What `overlay` is here, by its whole path."""
    name: str = "overlay"
    home: str = ""
    """The home directory; empty for that of the user, or of the system's state directory."""
    is_system: bool = False
    """Whether it runs from the start of the machine, as a user of its own, or while somebody is logged in, as that user."""
    needs_home: bool = False
    """Whether the program lies in somebody's home directory, which has to stay readable then."""
    user: str = ""
    """Whose it is, for what needs to be told."""

    @property
    def command(self) -> tuple[str, ...]:
        """What is run."""
        return (*self.program, *(("--home", self.home) if self.home else ()), "up")


@dataclass(frozen=True, slots=True)
class Plan:
    """A file, the commands that make it count, and those that undo it."""

    file: PurePath
    text: bytes
    install: tuple[tuple[str, ...], ...]
    remove: tuple[tuple[str, ...], ...]
    """Before the file is deleted."""
    removed: tuple[tuple[str, ...], ...] = ()
    """After it is."""


def systemd_plan(service: Service, directory: PurePath) -> Plan:
    """A unit in systemd's directory for units of the system, or of one user; UsageError for a path that no line can hold."""
    for word in service.command:
        if not word.isprintable():  # a line break would begin another directive, which root's systemd obeys
            raise UsageError(
                f"service: {word!r} has characters that cannot stand in a unit; choose another path"
            )
    systemctl = ("systemctl",) if service.is_system else ("systemctl", "--user")
    unit = f"{service.name}.service"
    return Plan(
        file=directory / unit,
        text=(_system_unit(service) if service.is_system else _user_unit(service)).encode(),
        install=((*systemctl, "daemon-reload"), (*systemctl, "enable", unit), (*systemctl, "restart", unit)),
        remove=((*systemctl, "disable", "--now", unit),),
        removed=((*systemctl, "daemon-reload"),),
    )


def launchd_plan(service: Service, home: PurePath) -> Plan:
    """A property list for launchd; `home` is the directory of the user."""
    label = LABEL + service.name
    directory = (
        (home.parent / "/Library/LaunchDaemons") if service.is_system else home / "Library/LaunchAgents"
    )
    file = directory / f"{label}.plist"
    values: dict[str, object] = {
        "Label": label,
        "ProgramArguments": list(service.command),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ExitTimeOut": SERVICE_STOP_SECONDS,
        "ProcessType": "Background",
        "SoftResourceLimits": {"NumberOfFiles": 10240},
        "Umask": 0o077,
    }
    if service.is_system:
        values["UserName"] = service.user
    domain = "system" if service.is_system else "gui/$UID"
    sudo = ("sudo",) if service.is_system else ()
    return Plan(
        file=file,
        text=plistlib.dumps(values),
        install=((*sudo, "launchctl", "bootstrap", domain, str(file)),),
        remove=((*sudo, "launchctl", "bootout", f"{domain}/{label}"),),
    )


def windows_plan(service: Service) -> Plan:
    """A task for the task scheduler, as XML that `schtasks` reads."""
    from pathlib import PureWindowsPath

    file = PureWindowsPath(f"{service.name}.xml")
    return Plan(
        file=file,
        text=_windows_task(service),
        install=(
            ("schtasks", "/Create", "/TN", service.name, "/XML", str(file)),
            ("schtasks", "/Run", "/TN", service.name),
        ),
        remove=(
            ("schtasks", "/End", "/TN", service.name),
            ("schtasks", "/Delete", "/TN", service.name, "/F"),
        ),
    )


def shell(command: tuple[str, ...]) -> str:
    """A command as a person types it; variables of the shell stay such."""
    return " ".join(word if word.startswith("gui/$UID") else shlex.quote(word) for word in command)


# --- systemd ----------------------------------------------------------------------------------------------------


def _exec(command: tuple[str, ...]) -> str:
    """A command line of a unit (systemd.service(5), "Command lines"): nothing in it is expanded."""
    return " ".join(_quoted(word.replace("$", "$$")) for word in command)


def _quoted(word: str) -> str:
    """One word of a unit; outside of command lines `$` means nothing."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    plain = escaped and all(c.isalnum() or c in "/._-+@:=,%$~" for c in escaped)
    return escaped if plain else f'"{escaped}"'


_COMMON: Final = """\
# The gateway says when everything listens, and each half minute that it is not stuck; else it is started again.
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec={watchdog}
Restart=on-failure
RestartSec=2
# What a person has to mend first: a command line or a configuration that makes no sense.
RestartPreventExitStatus=2 3
TimeoutStopSec={stop}

# Its identity and what it keeps are for its own user. A descriptor for each connection.
UMask=0077
LimitNOFILE=65536
MemoryHigh={memory_high}M
MemoryMax={memory}M
"""

_CALLS: Final = """\
# What a program that serves a network needs, and nothing else of the kernel.
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""


def _fill(text: str, service: Service) -> str:
    return text.format(
        command=_exec(service.command),
        watchdog=SERVICE_WATCHDOG_SECONDS,
        stop=SERVICE_STOP_SECONDS,
        memory=SERVICE_MEMORY >> 20,
        memory_high=(SERVICE_MEMORY >> 20) * 3 // 4,
    )


def _user_unit(service: Service) -> str:
    undo = "overlay service remove"
    return f"""\
# Written by `overlay service install`; `{undo}` takes it away. What you want to be different: systemctl --user edit {service.name}
[Unit]
Description=Overlay gateway

[Service]
{_fill(_COMMON, service)}
{_CALLS}
[Install]
WantedBy=default.target
"""


def _system_unit(service: Service) -> str:
    home = "" if service.home else f"Environment=OVERLAY_HOME=%S/{service.name}\n"
    kept = f"ReadWritePaths={_quoted(service.home)}\n" if service.home else ""
    protect_home = "read-only" if service.needs_home else "yes"
    return f"""\
# Written by `overlay service install --system`; `overlay service remove --system` takes it away.
# What you want to be different: systemctl edit {service.name}
[Unit]
Description=Overlay gateway
After=network-online.target
Wants=network-online.target

[Service]
{_fill(_COMMON, service)}
# A user that exists while it runs; its identity and state stay in /var/lib/{service.name}.
DynamicUser=yes
StateDirectory={service.name}
StateDirectoryMode=0700
{home}{kept}
# Ports below 1024 on loopback addresses, so that http://web.alice.overlay/ needs no port; [tunnels] pwnat would need CAP_NET_RAW.
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE

{_CALLS}
# Nothing else of the machine.
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome={protect_home}
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes

[Install]
WantedBy=multi-user.target
"""


# --- Windows ----------------------------------------------------------------------------------------------------

_TASK: Final = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_LOCAL_SERVICE: Final = "S-1-5-19"


def _windows_task(service: Service) -> bytes:
    task = ElementTree.Element("Task", {"version": "1.4", "xmlns": _TASK})

    def add(parent: ElementTree.Element, **values: str) -> None:
        for name, value in values.items():
            ElementTree.SubElement(parent, name).text = value

    add(ElementTree.SubElement(task, "RegistrationInfo"), Description="Overlay gateway")
    triggers = ElementTree.SubElement(task, "Triggers")
    trigger = ElementTree.SubElement(triggers, "BootTrigger" if service.is_system else "LogonTrigger")
    add(trigger, Enabled="true", **({} if service.is_system else {"UserId": service.user}))
    principal = ElementTree.SubElement(ElementTree.SubElement(task, "Principals"), "Principal", id="Author")
    if service.is_system:
        add(principal, UserId=_LOCAL_SERVICE, RunLevel="LeastPrivilege")
    else:
        add(principal, UserId=service.user, LogonType="InteractiveToken", RunLevel="LeastPrivilege")
    settings = ElementTree.SubElement(task, "Settings")
    add(
        settings,
        MultipleInstancesPolicy="IgnoreNew",
        DisallowStartIfOnBatteries="false",
        StopIfGoingOnBatteries="false",
        ExecutionTimeLimit="PT0S",
        Enabled="true",
    )
    add(ElementTree.SubElement(settings, "RestartOnFailure"), Interval="PT1M", Count="999")
    program, *arguments = service.command
    action = ElementTree.SubElement(ElementTree.SubElement(task, "Actions", Context="Author"), "Exec")
    add(action, Command=program, Arguments=" ".join(map(_windows_word, arguments)))
    ElementTree.indent(task)
    text: bytes = ElementTree.tostring(task, encoding="utf-16", xml_declaration=True)
    return text


def _windows_word(word: str) -> str:
    """As the C library of Windows reads it back, for words without quotation marks, which paths there cannot have."""
    end = "\\" if word.endswith("\\") else ""
    return f'"{word}{end}"' if " " in word or not word else word

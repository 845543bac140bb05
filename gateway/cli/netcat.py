"""`overlay nc`: standard input and output on a service, with the habits of nc(1)."""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import output
from gateway.cli.app import Command, Session, pass_session
from gateway.errors import GatewayError, UsageError
from gateway.programs.destinations import destination

if TYPE_CHECKING:
    from gateway.programs.client import Opened, ProgramClient

_DATAGRAM: Final = 16 * 1024  # what nc(1) sends of its input as one datagram
_CONNECT_SECONDS: Final = 60.0


@click.command("nc", cls=Command, short_help="Connect standard input and output with a service.")
@click.argument("name")
@click.argument("service", required=False)
@click.option("-u", "--udp", is_flag=True, help="Datagrams: each read of the input is one.")
@click.option("-l", "--listen", is_flag=True, help="Be the service NAME for one caller instead.")
@click.option(
    "--allow",
    multiple=True,
    metavar="WHO",
    help="With -l: who may call, as for `overlay expose` (repeatable).",
)
@click.option("-d", "no_input", is_flag=True, help="Do not read standard input.")
@click.option("-N", "shutdown", is_flag=True, help="Tell the other side when the input ends.")
@click.option(
    "-w", "wait", type=click.FloatRange(0.1, 86400), metavar="SECONDS",
    help="Give up connecting after so long; with -u, also end when nothing came for so long.",
)  # fmt: skip
@click.option(
    "-F",
    "--fdpass",
    is_flag=True,
    help="Hand the open connection to who runs us (ssh's ProxyUseFdpass) and end.",
)
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr what was opened.")
@pass_session
def nc_command(
    session: Session,
    *,
    name: str,
    service: str | None,
    udp: bool,
    listen: bool,
    allow: tuple[str, ...],
    no_input: bool,
    shutdown: bool,
    wait: float | None,
    fdpass: bool,
    verbose: bool,
) -> None:
    """Connect with SERVICE of NAME: its name, a port, or both, as in game:27015.

    NAME alone is enough if it names the service, as in web.alice. The command ends when the other side does; with -N that
    side is told of the end of the input before. It fails if the stream was cut off on the way.
    """
    from gateway.programs.client import ProgramClient
    from gateway.programs.messages import Connect, OpenFlow

    client = ProgramClient(session.home)
    seconds = wait or _CONNECT_SECONDS
    if listen:
        if service is not None or fdpass:
            raise UsageError("nc: with -l there is one NAME, that of the service to be, and no -F")
        opened = _called(client, name, allow, udp=udp, wait=wait)
    elif allow:
        raise UsageError("nc: --allow says who may call, and is for -l")
    else:
        host, port = destination(name, service)
        asked = OpenFlow(host=host, port=port) if udp else Connect(host=host, port=port, strict=not fdpass)
        try:
            opened = client.connect(asked, timeout=seconds)
        except TimeoutError:
            raise GatewayError(
                f"nc: {host} did not answer within {seconds:g} s; see: overlay ping {name}"
            ) from None
    if verbose:
        output.aside(f"connected with {opened.attached.petname or opened.attached.endpoint_id}")
    if fdpass:
        pass_descriptor(opened.sock)
    elif udp:
        copy_datagrams(client, opened, no_input=no_input, wait=wait)
    else:
        copy_stream(client, opened, no_input=no_input, half_close=shutdown)


def copy_stream(
    client: ProgramClient, opened: Opened, *, no_input: bool, half_close: bool = True, progress: bool = False
) -> None:
    """Standard input and output on a stream, to its end; `Cut` if that was not the end."""
    from gateway.cli.copying import Copying, Progress

    copying = Copying(
        opened.sock,
        source=None if no_input else sys.stdin.fileno(),
        sink=sys.stdout.fileno(),
        ending=lambda: client.ending(opened.attached.stream),
        done=lambda: client.done(opened.attached.stream),
        half_close=half_close,
    )
    shown = Progress() if progress and Progress.wanted() else None
    try:
        copying.run(shown.show if shown is not None else None)
    finally:
        if shown is not None:
            shown.clear()


def copy_datagrams(client: ProgramClient, opened: Opened, *, no_input: bool, wait: float | None) -> None:
    """Each read of standard input as a datagram, and each datagram to standard output."""
    from gateway.flows.framing import Deframer, frame

    sock, deframer = opened.sock, Deframer()
    reading = [sock, *([] if no_input else [sys.stdin])]
    while ready := select.select(reading, [], [], wait)[0]:
        if sys.stdin in ready:
            data = os.read(sys.stdin.fileno(), _DATAGRAM)
            if data:
                sock.sendall(frame(data))
            else:
                reading.remove(sys.stdin)
        if sock in ready:
            received = sock.recv(65536)
            if not received:
                ending = client.ending(opened.attached.stream)
                if ending.state == "cut":
                    raise GatewayError(f"nc: {ending.reason}")
                return
            for datagram in deframer.feed(received):
                os.write(sys.stdout.fileno(), datagram)


def pass_descriptor(sock: socket.socket) -> None:
    """Send an open connection over standard output, as ssh's ProxyUseFdpass expects it."""
    try:
        with socket.socket(fileno=os.dup(sys.stdout.fileno())) as receiver:
            socket.send_fds(receiver, [b"\0"], [sock.fileno()])
    except OSError as error:
        raise UsageError(
            f"nc: -F hands the connection over by a socket, and standard output is none ({error}); leave -F out"
        ) from None


def _called(
    client: ProgramClient, name: str, allow: tuple[str, ...], *, udp: bool, wait: float | None
) -> Opened:
    """The first caller of a service that there is for so long."""
    from gateway.programs.messages import Offer

    offered, calls = client.offer(Offer(service=name, protocols=("udp",) if udp else ("tcp",), allow=allow))
    try:
        for warning in offered.warnings:
            output.warn(warning)
        output.aside(f"waiting for a caller; they run: overlay nc {'-u ' if udp else ''}{offered.host}")
        deadline = None if wait is None else time.monotonic() + wait
        while True:
            left = None if deadline is None else max(0.01, deadline - time.monotonic())
            try:
                call = calls.next(left)
            except TimeoutError:
                raise GatewayError(f"nc: nobody called within {wait:g} s") from None
            try:
                return client.accept(call, strict=not udp)
            except UsageError:
                continue  # the caller did not wait; the next one may
    finally:
        calls.close()

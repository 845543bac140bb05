"""The `overlay` command: its options, its list of commands, and how every error becomes one line and an exit code."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from gateway import __version__
from gateway.errors import ConfigurationError, GatewayError, StateError
from tunnels.errors import ConfigurationError as TunnelConfigurationError
from tunnels.errors import KeyFileError, TunnelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from gateway.control.client import ControlClient
    from gateway.home import Home

COMMANDS: Final = {
    "up": "running",
    "down": "running",
    "status": "running",
    "reload": "running",
    "dash": "dashboard",
    "logs": "logs",
    "top": "top",
    "metrics": "metrics",
    "service": "service",
    "id": "identity",
    "expose": "services",
    "unexpose": "services",
    "services": "services",
    "contacts": "contacts",
    "invite": "invites",
    "invites": "invites",
    "ticket": "tickets",
    "join": "tickets",
    "topic": "topics",
    "zone": "zones",
    "whois": "zones",
    "vouchers": "vouchers",
    "pipe": "piping",
    "nc": "netcat",
    "ssh": "ssh",
    "ssh-config": "ssh",
    "open": "opening",
    "forward": "forwarding",
    "ping": "pinging",
    "netcheck": "netcheck",
    "usage": "usage",
    "limits": "limits",
    "resolve": "names",
    "doctor": "doctor",
    "dns": "dns",
    "config": "configuration",
    "ca": "ca",
    "beacon": "beacon",
    "man": "manual",
    "completion": "completion",
}
"""Each command, and the module beside this one that holds it as `<name>_command`."""

_NEAR: Final = 0.7
"""How alike a word has to be to a command for us to name it: `statsu` is near `status`, `bogus` is not near `logs`."""

_TUNNEL_ERRORS: Final[dict[type[TunnelError], tuple[str, int]]] = {
    KeyFileError: ("state", StateError.exit_code),
    TunnelConfigurationError: ("configuration", ConfigurationError.exit_code),
    TunnelError: ("failure", GatewayError.exit_code),
}
"""Errors of the package below that reach us at the start; a class stands before its bases."""

EPILOG: Final = """\b
Exit codes:
  0    it is done
  1    it failed
  2    what was asked for makes no sense
  3    the configuration is wrong
  4    the home directory is locked, full, read-only or corrupt
  5    no gateway runs on this home directory
  6    only root may do it; the command to be run is printed
  10…  an invite is not taken: 10 damaged, 11 tampered, 12 expired, 13 used,
       14 revoked, 15 not for you, 16 clock skew, 17 unknown, 18 newer,
       19 not to be passed on; a code: 20 wrong, 21 unknown, 22 unsupported
  130  interrupted

\b
Options and variables:
  --home DIR, or $OVERLAY_HOME, holds the identity, the configuration and the
  state; several gateways run side by side, each with its own.
  $OVERLAY_<SECTION>_<KEY> sets a key of gateway.toml; NO_COLOR is honoured.
"""


class Session:
    """What every command shares: which home is meant, and how it was named."""

    def __init__(self) -> None:
        self.directory: str | None = None

    @property
    def home(self) -> Home:
        """The home directory of this command."""
        from gateway.home import Home

        return Home.find(self.directory, os.environ)

    @property
    def command(self) -> str:
        """How the person calls us, for commands that we print: `overlay`, or `overlay --home DIR`."""
        return "overlay" if self.directory is None else f"overlay --home {shlex.quote(self.directory)}"

    def client(self) -> ControlClient:
        """The control socket of the gateway that runs on this home."""
        from gateway.control.client import ControlClient

        return ControlClient(self.home)


pass_session = click.make_pass_decorator(Session, ensure=True)


def _remember_home(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Session).directory = value


def _home_option(*, hidden: bool) -> click.Option:
    return click.Option(
        ["--home"],
        metavar="DIR",
        expose_value=False,
        is_eager=True,
        callback=_remember_home,
        hidden=hidden,
        help="Where identity, configuration and state are.",
    )


_HELP: Final = ("-h", "--help")
"""Said for each command, because click remembers how it was first asked for."""


class Command(click.Command):
    """A command that also takes `--home` after its name, where people type it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(*args, **kwargs)
        self.context_settings.setdefault("help_option_names", _HELP)
        self.params.append(_home_option(hidden=True))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; an error that does not say where it belongs is about this command."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise


class Group(click.Group):
    """A group whose commands are of our kind, and that takes `--home` too."""

    command_class = Command

    def __init__(self, *args: Any, default: str = "", **kwargs: Any) -> None:  # noqa: ANN401 - click's
        """`default` is the command that is meant when none is named: `overlay contacts --json` is `overlay contacts ls --json`."""
        super().__init__(*args, **kwargs)
        self.context_settings.setdefault("help_option_names", _HELP)
        self._default = default
        self.params.append(_home_option(hidden=True))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with the default command put in where nothing but options is given."""
        only_options = not args or args[0].startswith("-")
        asks_for_help = any(word in ctx.help_option_names for word in args)
        if self._default and only_options and not asks_for_help and self.commands.keys().isdisjoint(args):
            args = [self._default, *args]
        return super().parse_args(ctx, args)


class _Overlay(click.Group):
    """The top group: imports the module of a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of COMMANDS, which is the order one meets them in."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"gateway.cli.{module}"), f"{cmd_name.replace('-', '_')}_command"
        )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest command named in the error."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=_NEAR)
            hint = f"did you mean `{near[0]}`?" if near else "see `overlay --help`"
            raise click.UsageError(f"{args[0]!r} is no command; {hint}", ctx)
        return super().resolve_command(ctx, args)


overlay = _Overlay(
    "overlay",
    params=[
        _home_option(hidden=False),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=lambda context, _, value: _show_version(context) if value else None,
            help="Print the version and exit.",
        ),
    ],
    help="A name for every machine that nobody hands out, and its services reachable under it.",
    epilog=EPILOG,
    context_settings={"help_option_names": _HELP, "max_content_width": 100},
)


def _show_version(context: click.Context) -> None:
    click.echo(f"overlay {__version__} (Python {sys.version.split()[0]})")
    context.exit()


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; whatever fails is one line on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    odd = next((word for word in words if _is_no_text(word)), None)
    if odd is not None:
        return _fail(f"{odd!r} is no text in UTF-8; write it in other characters", "usage", 2, words)
    try:
        result = overlay.main(words, prog_name="overlay", standalone_mode=False, color=_colour())
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, click.Abort):
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        place = error.ctx.command_path if error.ctx is not None else "overlay"
        message = " ".join(error.format_message().split()).rstrip(".")
        see = "" if ";" in message else f"; see `{place} --help`"
        return _fail(f"{_about(place)}{message}{see}", "usage", 2, words)
    except click.ClickException as error:
        return _fail(error.format_message(), "failure", error.exit_code, words)
    except GatewayError as error:
        from gateway.control.errors import code_of

        return _fail(str(error), code_of(error), error.exit_code, words)
    except TunnelError as error:
        code, exit_code = next(answer for kind, answer in _TUNNEL_ERRORS.items() if isinstance(error, kind))
        return _fail(str(error), code, exit_code, words)
    except OSError as error:
        return _fail(f"{error.filename or 'system'}: {error.strerror or error}", "failure", 1, words)
    return result if isinstance(result, int) else 0


def _is_no_text(word: str) -> bool:
    """Whether the system gave us bytes that are no UTF-8: no name, text or path of ours has such."""
    return any("\udc80" <= character <= "\udcff" for character in word)


def _about(place: str) -> str:
    """The command an error is about, as the head of its line."""
    command = place.removeprefix("overlay").strip()
    return f"{command}: " if command else ""


def _fail(message: str, code: str, exit_code: int, words: Sequence[str]) -> int:
    if "--json" in words:
        import json

        click.echo(json.dumps({"error": message, "code": code}), err=True)
    else:
        from gateway.cli.output import visible

        click.echo(f"overlay: {visible(' '.join(message.splitlines()))}", err=True)
    return exit_code


def _colour() -> bool | None:
    """False when the person wants none; else None, which is: on a terminal."""
    return False if os.environ.get("NO_COLOR") else None


def tell_internal_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A mistake of ours: one line with the place, and no page of traceback."""
    if issubclass(kind, KeyboardInterrupt):
        return
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
    click.echo(f"overlay: internal error: {kind.__name__}: {error}{place}; please report this", err=True)

"""How a command is made: a parser, which only looks at its arguments, and what it then runs.

A parser is a function with Typer's annotations that returns the plan of the command, or raises BadArguments. Every
command takes the global flags as well, before or after its name. Values stay texts until a parser or the settings
read them: the messages are then etcdctl's, and Typer does not load its converter (a tenth of a second).
"""

import gc
import inspect
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

import typer
from typer._click.shell_completion import CompletionItem
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from brainctl.cli import interrupt, streams
from brainctl.cli.contexts import config_path, context_names
from brainctl.cli.discovery import discovered
from brainctl.cli.etcdctl_dialect import unknown_variables
from brainctl.cli.group import Group
from brainctl.cli.session import Session
from brainctl.cli.settings import FLAGS, FORMATS, NUMBERS, Flag, Given, Kind, resolve

Plan = TypeVar("Plan")
Run = Callable[[Session, Plan], Coroutine[None, None, None] | None]
COMPLETE = "_BRAINCTL_COMPLETE"
"""The variable by which a shell asks for completions."""
GC_SECONDS = 0.3
"""A command that is done before this never collects cyclic garbage: loading its modules would have it look at all of
their objects again and again.
"""


@dataclass(slots=True)
class Invocation:
    """One command line on its way: Typer's context object."""

    argv: tuple[str, ...] = ()
    program: str = "brainctl"
    flags: dict[str, Given] = field(default_factory=dict)


class PlainOption(TyperOption):
    """An option whose value is what was typed."""

    def process_value(self, ctx: object, value: object) -> object:
        """Return the value, unconverted."""
        return value if self.callback is None else self.callback(ctx, self, value)  # type: ignore[arg-type]

    def shell_complete(self, ctx: object, incomplete: str) -> list[CompletionItem]:
        """Return the values that the metavar lists, as in a|b|c, or the names of contexts for --context."""
        del ctx
        values = self.metavar.split("|") if self.metavar and "|" in self.metavar else []
        if self.name == "context":
            values = context_names(config_path(os.environ))
        return [CompletionItem(value) for value in values if value.startswith(incomplete)]


class PlainArgument(TyperArgument):
    """Arguments as they were typed."""

    def process_value(self, ctx: object, value: object) -> object:
        """Return the value, unconverted."""
        del ctx
        return value


def command(parse: Callable[..., Plan], run: Run[Plan]) -> Callable[..., None]:
    """Return the function that Typer calls for a command.

    It takes the flags of `parse` and the global ones; a flag of the command hides a global one of the same name. It
    parses, resolves the settings and calls `run` with a session and the plan that `parse` returned.
    """
    own = inspect.signature(parse).parameters

    def invoke(typer_context: typer.Context, **given: object) -> None:
        invocation: Invocation = typer_context.obj
        collect(invocation, {name: value for name, value in given.items() if name not in own})
        plan = parse(**{name: value for name, value in given.items() if name in own})
        session = Session(discovered(resolve(invocation.flags, os.environ)), invocation.argv, invocation.program)
        if inspect.iscoroutinefunction(run):
            for warning in unknown_variables(os.environ):
                session.warn(warning)
            interrupt.run(lambda: _lasting(run(session, plan)))
        else:
            _collect_garbage()
            with interrupt.raised():
                run(session, plan)

    common = [parameter for parameter in global_parameters(hidden=True) if parameter.name not in own]
    invoke.__signature__ = inspect.Signature([_CONTEXT, *own.values(), *common])  # type: ignore[attr-defined]
    invoke.__doc__ = parse.__doc__
    return invoke


async def _lasting(outcome: Coroutine[None, None, None]) -> None:
    """Run a command, and let the garbage of cycles be collected once it lasts."""
    import asyncio

    asyncio.get_running_loop().call_later(GC_SECONDS, _collect_garbage)
    await outcome


def _collect_garbage() -> None:
    gc.freeze()  # what was loaded until now is none
    gc.enable()


def collect(invocation: Invocation, given: dict[str, object]) -> None:
    """Note the global flags among `given`; those nearer to the end of the command line win."""
    for name, value in given.items():
        if name in _GLOBALS and isinstance(value, str | bool):
            invocation.flags[name] = value


def single(name: str, parse: Callable[..., Plan], run: Run[Plan]) -> typer.Typer:
    """Return the Typer app of a command that is a module of its own."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name)(command(parse, run))
    return app


def group(
    help_text: str,
    *,
    cls: type[TyperGroup] = Group,
    hidden: bool = True,
) -> typer.Typer:
    """Return the Typer app of a group of commands.

    It takes the global flags too, and shows its help when it is called without a command.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None, cls=cls, help=help_text)

    def invoke(typer_context: typer.Context, **given: object) -> None:
        collect(typer_context.obj, given)
        if typer_context.invoked_subcommand is None:
            _write_help(typer_context)

    signature = [_CONTEXT, *global_parameters(hidden=hidden)]
    invoke.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    app.callback(invoke_without_command=True)(invoke)
    return app


def prepare(loaded: TyperCommand | TyperGroup) -> None:
    """Set what all commands share: texts stay texts, and the help of an option ends with its default."""
    for parameter in loaded.params:
        if isinstance(parameter, TyperOption):
            parameter.__class__ = PlainOption
            parameter.show_default = False
            if isinstance(parameter.default, str) and parameter.default:
                parameter.help = f"{parameter.help} [{parameter.default}]"
            elif isinstance(parameter.default, bool) and parameter.secondary_opts:
                parameter.help = f"{parameter.help} [{str(parameter.default).lower()}]"
        elif isinstance(parameter, TyperArgument):
            parameter.__class__ = PlainArgument
    loaded.add_help_option = False  # ours is among the parameters; Typer's loads its converter
    if isinstance(loaded, TyperGroup):
        for below in loaded.commands.values():
            assert isinstance(below, TyperCommand | TyperGroup)
            prepare(below)


def global_parameters(*, hidden: bool) -> list[inspect.Parameter]:
    """Return the global flags and --help as parameters for Typer; a shell that completes sees the hidden ones too."""
    return [*(_parameter(flag, hidden and COMPLETE not in os.environ) for flag in FLAGS), _HELP]


def help_of(context: typer.Context) -> str:
    """Return what --help shows of the command of `context`: its help, and its examples at the end."""
    from brainctl.cli.examples import examples_of

    shown = context.get_help()
    if examples := examples_of(context.command_path.partition(" ")[2]):
        lines = (f"  # {example.purpose}\n  {example.line}" for example in examples)
        shown += "\n\nExamples:\n" + "\n".join(lines)
    return shown


def _write_help(ctx: typer.Context) -> None:
    streams.write(f"{help_of(ctx)}\n".encode(errors="surrogateescape"))


def _show_help(ctx: typer.Context, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        _write_help(ctx)
        raise typer.Exit


def _parameter(flag: Flag, hidden: bool) -> inspect.Parameter:
    names = [flag.short] if flag.short else []
    is_bool = flag.kind is Kind.BOOL
    pair = is_bool and flag.default == "true"
    option = typer.Option(
        *names,
        f"--{flag.name}/--no-{flag.name}" if pair else f"--{flag.name}",
        help=f"{flag.help} [{flag.default}]" if flag.default and (pair or not is_bool) else flag.help,
        hidden=hidden,
        show_default=False,
        metavar=None if is_bool else _VALUES.get(flag.name, flag.kind.value),
    )
    kind = bool | None if is_bool else str | None
    return inspect.Parameter(flag.key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


_VALUES = {"write-out": "|".join(FORMATS), "numbers": "|".join(NUMBERS)}
_HELP_OPTION = typer.Option(
    "-h", "--help", help="show this help and exit", is_eager=True, expose_value=False, callback=_show_help
)
_HELP = inspect.Parameter(
    "help_", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, _HELP_OPTION]
)
_GLOBALS = frozenset(flag.key for flag in FLAGS)
_CONTEXT = inspect.Parameter("typer_context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)

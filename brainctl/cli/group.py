"""Groups of commands, found by name or by the beginning of one name."""

from collections.abc import Iterable

from typer.core import TyperCommand, TyperGroup


def match(typed: str, names: Iterable[str]) -> str | None:
    """Return the name that was meant: `typed` itself, or the only one that starts with it; None when there is none."""
    names = list(names)
    if typed in names:
        return typed
    found = [name for name in names if typed and name.startswith(typed)]
    return found[0] if len(found) == 1 else None


class Group(TyperGroup):
    """A group with subcommands, such as lease."""

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """Return the subcommand that was meant, None when there is none."""
        del ctx
        name = match(cmd_name, self.commands)
        found = self.commands[name] if name else None
        return found if isinstance(found, TyperCommand | TyperGroup) else None

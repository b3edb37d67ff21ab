"""What the commands of `brainctl store` share: how a store is named, and fields by name as they are shown."""

from typing import Annotated

import typer

from brainctl.cli.session import Session
from brainctl.errors import Unsupported
from brainctl.output.gotext import size
from brainctl.stores.urls import canonical, of_directory

StoreArgument = Annotated[list[str] | None, typer.Argument(metavar="[STORE]", show_default=False)]


def store_url(name: str) -> str:
    """Return the URL of a store that is named by one, or by its directory."""
    named = canonical(name)
    return named if not named or "://" in named else of_directory(name)


def show(session: Session, fields: dict[str, str]) -> None:
    """Print them: sizes also in units, for people; an object with -w json."""
    match session.settings.write_out:
        case "simple":
            sizes = {name: f"{value} ({size(int(value))})" for name, value in fields.items() if name.startswith("size")}
            width = max(len(name) for name in fields) + 1
            for name, value in {**fields, **sizes}.items():
                session.say(f"{name + ':':<{width}} {value}")
        case "json":
            import orjson

            session.write(
                orjson.dumps({name.replace(", ", "_").replace(" ", "_"): value for name, value in fields.items()})
                + b"\n"
            )
        case other:
            raise Unsupported(f"{other} not supported as output format")

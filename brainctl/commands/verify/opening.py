"""The sides of a comparison by the names that are given for them: URLs, kinds of stores, files and directories."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from brainctl.cli.session import Session
from brainctl.cli.store_urls import place
from brainctl.commands.verify.options import VerifyOptions
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.schemes import BY_SPELLING
from brainctl.stores.urls import canonical, of_directory
from brainctl.verify.history import replayed
from brainctl.verify.opening import open_side
from brainctl.verify.reading import StoreReader
from brainctl.verify.scope import Scope
from brainctl.verify.side import Side


class Pair(NamedTuple):
    """Two sides that are compared, and the names under which they are shown."""

    names: tuple[str, str]
    expected: Side
    found: Side


@dataclass
class Opening:
    """Options for opening sides, each once; `stack` closes them."""

    session: Session
    pd: str
    tikv_prefix: str
    scope: Scope
    stack: AsyncExitStack
    _known: dict[str, Side] = field(default_factory=dict)

    async def side(self, named: str, flag: str) -> Side:
        """Open the side that `named` means, which `flag` has given.

        Raises:
            BadArguments: It names nothing that can be compared.
            BrainctlError: Opening it failed.
        """
        url = place(self.session, _spelled(named), flag, self.pd, self.tikv_prefix)
        return await self._side(url)

    async def _side(self, url: str) -> Side:
        """Open a side by its URL, or return it when it is open."""
        if url not in self._known:
            session = self.session
            self._known[url] = await open_side(url, session.reach(), self.scope, self.stack, session.admission)
        return self._known[url]

    async def pairs(self, order: VerifyOptions) -> AsyncIterator[Pair]:
        """Yield what is compared with each other.

        Raises:
            BadArguments: There are no other members.
        """
        if order.members:
            first, *others = self.session.settings.endpoints
            if not others:
                raise BadArguments("--members compares members: name two at least with --endpoints")
            urls = [f"etcd://{endpoint}" if "://" not in endpoint else endpoint for endpoint in (first, *others)]
            expected = await self._side(urls[0])
            for url in urls[1:]:
                yield Pair((urls[0], url), expected, await self._side(url))
            return
        expected = await self.side(order.source, "--from")
        if order.own_log:
            yield Pair((order.source, "its own log"), await replayed(expected), expected)
        else:
            yield Pair((order.source, order.target), expected, await self.side(order.target, "--to"))

    async def keys(self, side: Side) -> int:
        """Return how many keys a side has, for the progress on a terminal; 0 where that takes long to count."""
        if not isinstance(side, StoreReader) or not side.counts_fast or not self.scope.whole:
            return 0
        return (await side.store.range(pb.RangeRequest(key=b"\0", range_end=b"\0", count_only=True))).count


def _spelled(named: str) -> str:
    """Return the URL of a directory that is given by its name; other names as they are."""
    is_name = "://" not in canonical(named) and named not in BY_SPELLING
    return of_directory(named) if is_name and Path(named).is_dir() else named

"""The sides of a comparison by the names that are given for them: URLs, kinds of stores, files and directories."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from brainctl.cli.session import Session
from brainctl.cli.store_urls import place
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.schemes import BY_SPELLING
from brainctl.stores.urls import canonical, of_directory
from brainctl.verify.opening import open_side
from brainctl.verify.reading import StoreReader
from brainctl.verify.scope import Scope
from brainctl.verify.side import Side


class Opening(NamedTuple):
    """Options for opening sides; `stack` closes them."""

    session: Session
    pd: str
    tikv_prefix: str
    scope: Scope
    stack: AsyncExitStack

    async def side(self, named: str, flag: str) -> Side:
        """Open the side that `named` means, which `flag` has given.

        Raises:
            BadArguments: It names nothing that can be compared.
            BrainctlError: Opening it failed.
        """
        url = place(self.session, _spelled(named), flag, self.pd, self.tikv_prefix)
        return await open_side(url, self.session.reach(), self.scope, self.stack, self.session.admission)

    async def keys(self, side: Side) -> int:
        """Return how many keys a side has, for the progress on a terminal; 0 where that takes long to count."""
        if not isinstance(side, StoreReader) or not side.counts_fast or not self.scope.whole:
            return 0
        return (await side.store.range(pb.RangeRequest(key=b"\0", range_end=b"\0", count_only=True))).count


def _spelled(named: str) -> str:
    """Return the URL of a directory that is given by its name; other names as they are."""
    is_name = "://" not in canonical(named) and named not in BY_SPELLING
    return of_directory(named) if is_name and Path(named).is_dir() else named

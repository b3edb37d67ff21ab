"""Draw docs/threads.svg: the threads of a server, the queues between them and how much each holds at most.

The figures are taken from the constants of the code. `--check` fails when the picture is not what it would draw.
"""

import sys
from html import escape
from pathlib import Path
from typing import NamedTuple

from brainctl.engine.options import EngineOptions
from brainctl.mvcc.steps import SLICE_KEYS
from brainctl.mvcc.weight import LONG_KEYS
from brainctl.node import lane, slices
from brainctl.node.access import passwords
from brainctl.node.jobs import scrubber, watch_backfill
from brainctl.node.local import engine_work
from brainctl.node.services.maintenance import snapshot_room
from brainctl.server import admission, app
from brainctl.server.gateway import handler
from brainctl.server.http2.write_buffer import WRITE_BYTES
from brainctl.tikv import bulk_writer, group_commit
from brainctl.tikv.key_codec import LANES
from brainctl.wire.limits import Limits

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "threads.svg"
WIDTH, HEIGHT = 1120, 678
LINE = 17
STYLE = """text { font-family: system-ui, sans-serif; font-size: 12px; fill: #1c2733 }
.title { font-weight: bold; font-size: 13px }
.frame { font-weight: bold; font-size: 15px }
.thread { fill: #e8f0fb; stroke: #3b6ea8 }
.queue { fill: #ffffff; stroke: #7a8794 }
.outside { fill: #f4efe2; stroke: #a08a4f }
path { stroke: #3d4a57; stroke-width: 1.5; fill: none; marker-end: url(#head) }"""

HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<polygon points="0,0 8,4 0,8" fill="#3d4a57"/></marker>'
)


class Box(NamedTuple):
    """A rectangle with a title and lines of text; sizes are pixels."""

    left: int
    top: int
    width: int
    title: str
    lines: tuple[str, ...] = ()
    kind: str = "queue"
    """The class of the style: thread, queue or outside."""
    height: int = 0
    """0: as high as the text."""

    @property
    def bottom(self) -> int:
        """Return where the rectangle ends."""
        return self.top + (self.height or LINE * (len(self.lines) + 1) + 12)


def size(number: int) -> str:
    """Return a number of bytes in the largest unit that divides it."""
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if number >= 1 << shift and not number % (1 << shift):
            return f"{number >> shift} {unit}"
    return f"{number} bytes"


LIMITS, OPTIONS = Limits(), EngineOptions()
BOXES = (
    Box(20, 60, 220, "Clients", ("gRPC, JSON gateway, pages",), "outside"),
    Box(
        20,
        150,
        220,
        "Admission",
        (
            f"half the memory, {size(admission.CONNECTION_BYTES)} each",
            f"{admission.KEPT_DESCRIPTORS} descriptors kept back,",
            f"{admission.SPARE_DESCRIPTORS} of them held open",
            "full: closed at once",
        ),
    ),
    Box(
        20,
        310,
        220,
        "Unread answers",
        (
            f"a connection, socket: {size(WRITE_BYTES)}",
            f"flow control: {size(LIMITS.queue_bytes)}",
            f"one stream: {size(LIMITS.stream_queue_bytes)}",
            "full: streams are paused,",
            "requests go to the backlog;",
            "too much in all: cut off",
        ),
    ),
    Box(280, 30, 400, "Event loop: one thread, all state", (), "thread", 628),
    Box(
        300,
        70,
        360,
        "Read",
        (
            f"{LIMITS.streams} streams, messages of {size(LIMITS.message_bytes)}",
            f"{size(LIMITS.window_bytes)} on the way, {size(LIMITS.partial_bytes)} incomplete",
            "full: streams are refused or reset",
        ),
    ),
    Box(
        300,
        170,
        360,
        "Slices: long reads",
        (f"{SLICE_KEYS} keys a turn, {slices.AT_A_TIME} take turns", "full: the others wait"),
    ),
    Box(
        300,
        250,
        360,
        f"Lane: a write of more than {LONG_KEYS} keys, alone",
        (f"then {lane.AT_A_TIME} of those that waited, a turn",),
    ),
    Box(300, 315, 360, "Open batch", ("evaluated, not durable: seen by no reader", "bound: the open streams")),
    Box(300, 400, 360, "Show a durable batch, answer", ("index, leases, watch events",)),
    Box(
        300,
        470,
        360,
        "Watchers that are behind",
        (
            f"history in pieces of {size(watch_backfill.READ_BYTES)}",
            f"or {watch_backfill.READ_CHANGES} changes",
            "a client that does not read: parked",
        ),
    ),
    Box(
        300,
        575,
        360,
        "Timers",
        ("leases, progress of watches, compaction, scrub", f"stopping: {app.GRACE_SECONDS:g} s for calls in progress"),
    ),
    Box(740, 30, 360, "Log writer: one thread", ("one batch at a time: write, fdatasync",), "thread"),
    Box(
        740,
        110,
        360,
        "Store in a directory",
        (
            f"segments of {size(OPTIONS.segment_size)}, {OPTIONS.spare_segments} spare ones",
            f"caches of {size(OPTIONS.cache_bytes)}, twice",
        ),
        "outside",
    ),
    Box(
        740,
        210,
        360,
        "Pool: at most 32 threads",
        (
            f"reclaim, pieces of {size(engine_work.RECLAIM_BYTES)}, {size(engine_work.RECLAIM_RATE)} a second",
            f"index, pieces of {size(engine_work.INDEX_BYTES)}",
            f"scrub, pieces of {size(scrubber.PIECE_BYTES)}",
            "the next segment of the log",
        ),
        "thread",
    ),
    Box(
        740,
        322,
        360,
        "Threads of their own",
        (
            f"passwords: {passwords.AT_ONCE} threads, {passwords.MAX_WAITING} may wait",
            f"snapshots: 1 thread, {snapshot_room.AT_ONCE} made or sent at once",
            f"JSON of answers above {size(handler.LARGE_BYTES)}",
        ),
        "thread",
    ),
    Box(
        740,
        420,
        360,
        "Over TiKV, instead of the log writer",
        (
            f"one commit: {group_commit.MAX_REQUESTS} writes or {size(group_commit.MAX_GROUP_BYTES)}",
            f"large ones: {LANES} lanes, {bulk_writer.CHUNK_KEYS} keys each",
            "threads of the Rust runtime: one for each processor",
        ),
        "thread",
    ),
    Box(740, 540, 360, "TiKV and its Placement Driver", (), "outside"),
)
"""The rectangles; one that holds others comes before them."""

ARROWS = (
    "M130 107 V146",
    "M240 190 H260 V110 H296",
    "M296 430 H260 V370 H244",
    "M660 340 H700 V55 H736",
    "M920 76 V106",
    "M736 66 H710 V420 H664",
    "M680 600 H720 V260 H736",
    "M720 360 H736",
    "M920 500 V536",
    "M660 360 H690 V460 H736",
    "M300 510 H270 V345 H244",
)
"""The ways between the boxes, as SVG paths."""


def picture() -> str:
    """Return the drawing."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>The threads of brainctl serve, and what waits between them</title>",
        f"<style>{STYLE}</style>",
        f"<defs>{HEAD}</defs>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for box in BOXES:
        parts.append(
            f'<rect class="{box.kind}" x="{box.left}" y="{box.top}" width="{box.width}" '
            f'height="{box.bottom - box.top}" rx="6"/>'
        )
        parts.append(_text(box.left + 12, box.top + LINE + 4, "frame" if box.height else "title", box.title))
        parts += [
            _text(box.left + 12, box.top + LINE * (number + 1) + 4, "", line)
            for number, line in enumerate(box.lines, 1)
        ]
    parts += [f'<path d="{way}"/>' for way in ARROWS]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(left: int, base: int, kind: str, words: str) -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{left}" y="{base}"{style}>{escape(words)}</text>'


def main() -> int:
    """Write the picture, or with --check say whether it is up to date."""
    drawn = picture()
    if "--check" in sys.argv:
        if PICTURE.exists() and PICTURE.read_text() == drawn:
            return 0
        print("docs/threads.svg is not up to date: run scripts/draw_threads.py")
        return 1
    PICTURE.write_text(drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main())

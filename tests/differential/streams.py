"""The same watch streams on both servers, and what their clients saw."""

import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue

import grpc
from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb

SECONDS = 60.0
ASK_AGAIN_SECONDS = 0.02
PATH = "/etcdserverpb.Watch/Watch"


class Stream:
    """One watch stream of one server; a thread reads it."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._requests: SimpleQueue[bytes | None] = SimpleQueue()
        self._responses: SimpleQueue[pb.WatchResponse | None] = SimpleQueue()
        self._call = channel.stream_stream(PATH, None, pb.WatchResponse.FromString)(self._sent())
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.events: dict[int, list[Message]] = {}
        """By watcher, in the order in which they came."""
        self.answers: list[pb.WatchResponse] = []
        """To creations and cancellations, without the ids of the cluster."""
        self.lost: list[tuple[int, int]] = []
        """Watchers that were cancelled for compaction, and the revision that they were told."""
        self._let_go = 0
        """How many of them are known to be gone."""
        self.future: dict[int, int] = {}
        """Watchers that wait for a revision to come."""
        quiet = pb.WatchCreateRequest(key=b"nobody writes this", watch_id=1000)  # without watchers there is no progress
        self.ask(pb.WatchRequest(create_request=quiet))

    def _sent(self) -> Iterator[bytes]:
        yield from iter(self._requests.get, None)

    def _read(self) -> None:
        try:
            for response in self._call:
                self._responses.put(response)
        except grpc.RpcError:
            self._responses.put(None)

    def send(self, request: pb.WatchRequest) -> None:
        self._requests.put(request.SerializeToString())

    def ask(self, request: pb.WatchRequest) -> pb.WatchResponse | None:
        """Send, and read until the answer has come; None to the cancellation of a watcher that is not there."""
        create = request.create_request
        if request.HasField("cancel_request") and not self._is_live(request.cancel_request.watch_id):
            self.send(request)
            return None
        answered = len(self.answers)
        self.send(request)
        while len(self.answers) == answered:
            self._take()
        answer = self.answers[-1]
        if answer.created and not answer.canceled and create.start_revision > answer.header.revision:
            self.future[answer.watch_id] = create.start_revision
        return answer

    def settle(self, newest: int, *, forgets: bool) -> None:
        """Read until every watcher is known to have seen everything up to the newest revision.

        Watchers that wait for the future are cancelled before, and so are those that were lost, unless the server
        `forgets` them by itself.
        """
        for number, start in tuple(self.future.items()):
            if start > newest and self._is_live(number):
                self.ask(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=number)))
        self.future.clear()
        asked = 0
        while True:
            for number, _ in self.lost[self._let_go :]:
                if not forgets:
                    self.send(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=number)))
            self._let_go = len(self.lost)
            asked += 1
            self.send(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
            while (response := self._next(ASK_AGAIN_SECONDS)) is not None:
                self._see(response)
                if response.watch_id == -1 and not response.created and response.header.revision >= newest:
                    return
            assert asked * ASK_AGAIN_SECONDS < SECONDS, "no progress"

    def close(self) -> None:
        self._requests.put(None)
        self._call.cancel()
        self._thread.join(SECONDS)

    def _is_live(self, number: int) -> bool:
        made = sum(a.watch_id == number and a.created and not a.canceled for a in self.answers)
        gone = sum(a.watch_id == number and not a.created for a in self.answers)
        return made > gone + sum(lost == number for lost, _ in self.lost)

    def _take(self) -> None:
        response = self._next(SECONDS)
        assert response is not None, "no response"
        self._see(response)

    def _next(self, seconds: float) -> pb.WatchResponse | None:
        try:
            response = self._responses.get(timeout=seconds)
        except Empty:
            return None
        if response is None:
            raise Gone
        return response

    def _see(self, response: pb.WatchResponse) -> None:
        if response.events:
            self.events.setdefault(response.watch_id, []).extend(response.events)
        elif response.compact_revision:
            self.lost.append((response.watch_id, response.compact_revision))
        elif response.created or (response.canceled and self._is_live(response.watch_id)):
            answer = pb.WatchResponse()
            answer.CopyFrom(response)
            answer.header.CopyFrom(pb.ResponseHeader(revision=response.header.revision))
            self.answers.append(answer)


class Gone(Exception):
    """A stream was ended by its server."""

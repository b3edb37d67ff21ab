"""Speak wire formats without I/O: bytes in, events out, answers in, bytes out.

Nothing here touches a socket, a file or a clock: the owner of a connection feeds it the bytes that it has read, acts on
the events, and writes what `take` returns. The modules in reading order:

* HTTP/2 and gRPC: `frames` (RFC 9113), `headers` and `huffman` (HPACK, RFC 7541), `grpc` (message prefix, status,
  timeout), `head` (the header fields of a request, checked), `events`, `limits` (bounds for one peer), `stream` (the
  state of one stream).
* A connection, put together from parts: `connection` reads frames and header blocks, `control_frames` those without
  either; `stream_table` has the streams, `sender` what waits for the peer's windows, `budget` what the peer may send
  without a request. `role` is what they ask of the role that they are used in.
* The server's role: `server` puts it together; `requests` reads requests, `request_bodies` the bodies that come in
  pieces; `responses` and `plain_responses` answer, with the constant bytes of `response_blocks`; `upkeep` and
  `keepalive` count PINGs and end the connection in order.
* The client's role: `client` calls, `response_reader` and `response_head` read the responses.
* Other formats: `http1` (HTTP/1.1 for pages), `varint` (protobuf), `dns` (SRV records), `bbolt` and `bbolt_sieve` (the
  file of etcd's snapshots).

**Worked example: one unary call in and out.** A client puts foo=bar, with its second call on the connection; the first
one has put the header fields into the HPACK tables of both sides. `ServerConnection.receive` gets 40 bytes:

    00 00 07 01 04 00 00 00 03      frame: 7 bytes, HEADERS, END_HEADERS, stream 3
    83 86 c2 c1 c0 bf be            indexed: POST, http, and from the table :authority, :path /etcdserverpb.KV/Put,
                                    content-type application/grpc, te trailers, user-agent
    00 00 0f 00 01 00 00 00 03      frame: 15 bytes, DATA, END_STREAM, stream 3
    00 00 00 00 0a                  gRPC prefix: not compressed, a message of 10 bytes
    0a 03 66 6f 6f 12 03 62 61 72   PutRequest: key foo, value bar

It returns one event, `Requests(head, stream_ids=[3], bodies=[the PutRequest])`, in which `head.path` names the method.
Calls behind it in the same bytes with the same 7 bytes of header block join the event. Once the put is durable, the
owner calls `reply(3, b)` with a marshalled PutResponse `b`, here only a header with revision 3, and `take` returns 39
bytes:

    00 00 02 01 04 00 00 00 03      frame: 2 bytes, HEADERS, END_HEADERS, stream 3
    88 bf                           indexed: status 200, and from the table content-type application/grpc
    00 00 09 00 00 00 00 00 03      frame: 9 bytes, DATA, stream 3
    00 00 00 00 04 0a 02 18 03      gRPC prefix and PutResponse
    00 00 01 01 05 00 00 00 03      frame: 1 byte, HEADERS, END_HEADERS and END_STREAM, stream 3
    be                              indexed, from the table: grpc-status 0

An error has no DATA: one HEADERS frame with END_STREAM carries status 200, grpc-status and grpc-message as literals.
"""

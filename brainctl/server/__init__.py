"""The server: a node's RPCs over HTTP/2 and HTTP/1.1 on asyncio. It knows bytes and paths, and nothing of the data.

In reading order:

* `app`: listening and the way a server stops; `listen`, `tls/`, `connections`, `admission`: who gets in
* `first_bytes`: the beginning of a connection: its handshake, and what it speaks
* `http2/`: a connection of HTTP/2, with unary and streaming calls; the frames are those of `brainctl.wire`
* `node_protocol`: the interface of a node; `status`: its errors as gRPC statuses
* `http1`, `http_request`, `http_handlers`, `metrics`: requests that are not gRPC
* `gateway/`: the API as JSON under /v3/
* `health`, `reflection`: the services of gRPC itself
* `malloc`, `collector`, `notify`: settings of the process, and systemd

For example a put over gRPC: `FirstBytes` finds the preface of HTTP/2 and makes an `Http2Protocol`. Its
`data_received` passes the frames to the sans-IO core, and the calls that are complete to `UnaryCalls`, which calls
`Node.puts`. The node replies once the write is durable, and the answers of one turn of the event loop leave in one
write.
"""

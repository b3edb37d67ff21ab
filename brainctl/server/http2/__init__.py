"""Serve one connection of HTTP/2: asyncio on one side, the protocol core of `brainctl.wire` and a node on the other.

The modules in reading order: `connection` (the asyncio protocol, which passes the events of the core on), `unary`
(unary calls), `streaming` and `open_streams` (streaming calls, and requests that are not gRPC), `streams` (the
streaming RPCs), `stream_writer` (the interface between a stream and its connection), `exchange` (one response that is
not gRPC), `write_buffer` (what is written to the socket, and when).

The way of five puts that came in one read of the socket:

    data_received         ServerConnection.receive returns one Requests event with five stream ids and bodies
    UnaryCalls.serve      counts them, and gives all five to the node as one burst (`Node.puts`)
    the node              answers once they are durable: `reply_all`, in a later turn of the event loop
    ServerConnection      has the bytes of five responses
    WriteBuffer.flush     writes them to the socket with one call, at the end of that turn
"""

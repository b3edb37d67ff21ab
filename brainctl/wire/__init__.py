"""Bytes in, events out; events in, bytes out: HTTP/2, gRPC framing, protobuf fragments."""

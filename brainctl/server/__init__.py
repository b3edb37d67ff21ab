"""The edge: a node's RPCs over HTTP/2 and HTTP/1.1 on asyncio."""

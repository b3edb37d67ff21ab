"""A connection of HTTP/2: unary and streaming calls, and what is written back."""

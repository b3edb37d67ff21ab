"""The KV service: `service.py` has the unary methods, `range_stream.py` KV.RangeStream."""

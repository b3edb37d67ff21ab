"""The protobuf messages of TiKV and its Placement Driver, as far as they are used; made by scripts/gen_proto.py."""

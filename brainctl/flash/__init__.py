"""The medium under a store: what it is, how fast it makes writes durable, how long it will last."""

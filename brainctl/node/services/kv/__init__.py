"""The KV service."""

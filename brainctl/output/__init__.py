"""The output formats: pure functions from an answer to bytes."""

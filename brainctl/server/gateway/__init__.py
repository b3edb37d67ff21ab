"""The JSON gateway under /v3/."""

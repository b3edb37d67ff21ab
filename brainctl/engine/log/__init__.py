"""The log: segment files, the writer at its end, the manifest that lists them."""

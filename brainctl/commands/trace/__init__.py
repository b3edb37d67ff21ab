"""brainctl trace: `command` makes the write and fetches its times, `lines` shows them."""

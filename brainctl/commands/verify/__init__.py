"""brainctl verify: `command` compares two stores, `lines` shows the differences."""

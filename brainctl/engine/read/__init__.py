"""Reads: views at a revision, the undo log behind them, caches of ranges and records."""

"""Whole stories, with real servers and processes."""

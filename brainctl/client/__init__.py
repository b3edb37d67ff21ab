"""Recipes over any store: a watch that resumes, lease sessions, locks, mirrors, load."""

"""The backend over the local engine: group commit, and the time each stage takes."""

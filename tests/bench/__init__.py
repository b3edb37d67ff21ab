"""Of `bench/`: the arithmetic of the measurements, their tables, and one short real run."""

"""brainctl check: `load` measures a store, `history` judges what it did; `report` writes the verdict."""

"""From pictures on disk to batches: manifest, split, cache, batches."""

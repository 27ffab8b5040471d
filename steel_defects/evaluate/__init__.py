"""A model measured on labelled images: which images, its scores, its thresholds, its likeness to a checkpoint."""

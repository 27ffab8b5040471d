"""From Kaggle's files to batches: codec, annotations, split, augmentation, loaders."""

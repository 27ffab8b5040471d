"""A Kaggle competition's files: fetched, unpacked, checked; without torch or pandas."""

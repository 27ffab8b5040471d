"""A checkpoint as files that run without PyTorch, compared with it before they are kept."""

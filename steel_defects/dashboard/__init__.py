"""The comparison of runs in W&B: workspace and report, built from the same panels with W&B's own library."""

"""Where a run is shown beside its folder: W&B, TensorBoard, MLflow, several at once or none.

Nothing is read back from them; what they show can be taken from the run folder at any time.
"""

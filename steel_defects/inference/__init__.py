"""A trained net at work: model files, the engines that run them, and how maps become masks.

All but `checkpoint`, `graph`, `run_data`, `scoring` and `timing` do without torch, as a PC at the line does.
"""

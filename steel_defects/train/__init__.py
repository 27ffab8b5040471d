"""Train one net, or a sweep of them: the training itself, its jobs, what it leaves."""

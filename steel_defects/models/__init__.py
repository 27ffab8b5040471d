"""Nets, their weights and losses, and the LightningModule that trains them."""

"""Using a trained net. All but `checkpoint` and `graph` work without torch, as a PC at the line does."""

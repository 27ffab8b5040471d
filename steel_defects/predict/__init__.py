"""From image files to masks, overlays and tables; without torch, pandas or matplotlib."""

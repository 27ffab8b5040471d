"""The report of a study: runs gathered from their folders, compared, drawn, and put on one page."""

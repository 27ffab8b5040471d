"""Pages to look at: one HTML file that opens from disk, and the same as Markdown, for any command that has findings."""

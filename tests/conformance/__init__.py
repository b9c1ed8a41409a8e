"""Every dialect put through the same cases: one case file per dialect."""

"""Trackers that people know: runs into their files, and their files read."""

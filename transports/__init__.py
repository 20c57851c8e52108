"""Bytes to other places. Knows nothing of backups."""

"""Metrics, and what an evaluation leaves on disk."""

"""Metrics, reports and cross-validation."""

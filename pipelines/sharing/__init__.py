"""Bundles passed on: packages, their verification, exported networks."""

"""Drawn images, so that everything runs before there are patients' data."""

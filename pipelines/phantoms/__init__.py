"""Drawn images, so that everything runs before any patient's data is at hand."""

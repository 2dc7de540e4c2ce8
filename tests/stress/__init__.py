"""Kills, damaged and hostile files and packages, at random and in numbers: ``python -m tests.stress --help``."""

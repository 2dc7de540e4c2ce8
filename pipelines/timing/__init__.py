"""How fast things are, as ratios from one run."""

"""How good a model is and how sure that is: intervals, comparisons, calibration, subgroups, and one page for all."""

"""How good a model is and how sure that is: intervals, comparisons, groups, cross-validation, and one page for all."""

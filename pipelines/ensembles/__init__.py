"""Ensembles: the models of a cross-validation as one, which gives the mean of their probabilities."""

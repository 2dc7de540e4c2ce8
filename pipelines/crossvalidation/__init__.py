"""Cross-validation: the patients in folds, a training and an evaluation of each, and what came of all as one."""

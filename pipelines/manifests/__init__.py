"""Which files, which patient, which split, what truth: manifests, and how each data set becomes one."""

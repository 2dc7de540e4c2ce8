"""What is fitted to a model on its validation split, after its training, and how well it holds elsewhere."""

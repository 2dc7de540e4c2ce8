"""What changes probabilities before they become masks."""

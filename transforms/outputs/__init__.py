"""What inference checks and writes of a prediction."""

"""What inference checks, keeps and writes of a prediction."""

"""Random changes that make training images as other hospitals might have sent them."""

"""What files are: how they are named, opened and written, whatever is in them."""

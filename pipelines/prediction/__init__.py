"""A bundle on a tree of images: cases, records, formats."""

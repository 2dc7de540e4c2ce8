"""What is said of a model in writing: its card, the CLAIM checklist, and the schemas of the files for machines."""

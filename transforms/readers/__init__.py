"""From files to arrays: readers for MONAI, each the one place that knows what its pixels mean."""

"""DICOM objects that are written: segmentations, reports, structure sets."""

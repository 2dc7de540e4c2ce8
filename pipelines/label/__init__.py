"""MONAI Label with bundles in it, and a DICOM store behind it."""

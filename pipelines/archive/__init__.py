"""Images from an archive and results back into it: DICOMweb, and DICOM's own network protocol."""

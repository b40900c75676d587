"""HDF5 files: opened under limits, checked before they are trusted, and checksummed."""

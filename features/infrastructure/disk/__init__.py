"""Files on disk: written whole or not at all, locked, and held while they are read."""

"""Feature extraction: the extractor, its shards, how it resumes, and how shards are merged."""

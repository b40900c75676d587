"""From images to a feature bank: the extractor, its shards, how it resumes, and how shards are merged."""

"""One module a dataset format; each defines the :class:`features.readers.scheme.Scheme` rows that it reads."""

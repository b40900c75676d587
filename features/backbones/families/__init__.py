"""One module a family of backbones; each defines one :class:`features.backbones.family.Family` row."""

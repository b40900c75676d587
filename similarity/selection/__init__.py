"""Which source classes to pre-train on."""

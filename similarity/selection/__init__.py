"""Select the source classes to pre-train on."""

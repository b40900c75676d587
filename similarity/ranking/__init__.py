"""Which source domains are nearest to a target."""

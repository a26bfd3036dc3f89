"""What each kind fills in, resets and refuses: one strategy per resource over one generic store."""

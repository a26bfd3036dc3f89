"""One door: authenticate, authorize, admit, store, tell."""

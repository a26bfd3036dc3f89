"""Public: what our tests use is what users get."""

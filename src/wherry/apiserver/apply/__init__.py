"""Server-side apply: who owns which field of an object (`metadata.managedFields`), and merging what owners apply."""

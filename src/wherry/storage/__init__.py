"""etcd's promises on one machine: one append-only log of revisions, and memory that always agrees with it."""

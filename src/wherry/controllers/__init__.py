"""One file per controller: what it owns, a pure plan, a thin loop."""

"""The rows kubectl prints, one function per kind; apiserver.table puts them together."""

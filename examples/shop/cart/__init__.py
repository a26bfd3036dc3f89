"""Cart: what a visitor has put aside. Quantities are absolute, so that a repeated request changes nothing."""

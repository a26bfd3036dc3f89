"""Products: the catalogue, what is in stock, and reservations of stock. Owns both; nobody else reads its database."""

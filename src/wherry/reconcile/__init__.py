"""What controller-runtime is: a queue of keys and the loop that takes them."""

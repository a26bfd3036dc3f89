"""Orders: the one service that makes money move. Checkout is a saga of steps that can each be repeated."""

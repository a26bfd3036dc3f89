"""Payments: a stand-in for a payment provider. One charge per order, however often it is asked for."""

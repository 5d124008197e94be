"""Better solutions out of worse ones."""

"""Who generates."""

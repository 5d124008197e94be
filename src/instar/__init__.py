"""instar: a language model improves itself in iterations, and proves it."""

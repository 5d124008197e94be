"""What is worth keeping."""

"""`f^F`: what is said of a solution."""

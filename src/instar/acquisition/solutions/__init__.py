"""`f^Y`: how solutions are written."""

"""`f^T`: where tasks come from, and how they are split."""

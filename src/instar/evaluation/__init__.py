"""`f^E`: measures, statistics and the gate."""

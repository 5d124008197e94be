"""Experience refinement: filtering and correcting."""

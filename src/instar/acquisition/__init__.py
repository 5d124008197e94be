"""Experience acquisition: tasks, solutions, feedback."""

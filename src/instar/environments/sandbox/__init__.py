"""Running code a model wrote, without giving it anything else."""

"""What answers back: the sandbox that runs code a model wrote."""

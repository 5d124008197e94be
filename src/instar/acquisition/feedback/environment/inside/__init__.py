"""What runs in the sandbox to judge a program: the program's side, the tests' side, their codec.

Each file is sent as text, so it may use the standard library and the file `values` alone.
"""

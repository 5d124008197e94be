"""`python -m instar` is `instar`."""

from instar.cli.app import main

if __name__ == "__main__":
    main()

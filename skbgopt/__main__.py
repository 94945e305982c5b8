"""``python -m skbgopt`` is the command, for where the scripts of the environment are not on the path."""

from skbgopt.cli import main

if __name__ == "__main__":
    main()

"""`python -m tirelessd` is `tirelessd`."""

from tirelessd.cli import main

if __name__ == "__main__":
    main()

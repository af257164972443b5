"""`python -m matlens` is `matlens`."""

from matlens.cli.main import main

if __name__ == "__main__":
    main()

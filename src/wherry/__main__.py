"""`python -m wherry` is `wherry`."""

from wherry.cli.main import main

if __name__ == "__main__":
    main(prog_name="wherry")

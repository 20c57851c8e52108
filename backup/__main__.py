"""`python -m backup` is the command, where no script of its name is at hand."""

from backup.cli.app import main

main()

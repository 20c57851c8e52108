"""voltar image"""

import typer

app = typer.Typer(help="Images: to and from registries.", no_args_is_help=True)

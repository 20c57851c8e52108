"""voltar: back up, restore, drill and migrate Docker volumes."""

__version__ = "0.1.0"

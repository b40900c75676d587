from transfer.commands.extract import show

__all__ = ["show"]

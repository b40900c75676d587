from transfer.commands.finetune import show

__all__ = ["show"]

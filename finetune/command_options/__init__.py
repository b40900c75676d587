"""The options of each command, one module each; importing them does not import PyTorch.

An unknown option is therefore reported at once. Values are checked when a configuration is built, which may import the
module of a loss or of a sampler, and PyTorch with it.
"""

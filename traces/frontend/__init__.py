"""The torch front end: from an nn.Module or a ``.pt2`` file to an `OpGraph`. Every module here imports torch."""

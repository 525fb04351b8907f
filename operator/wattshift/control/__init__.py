"""The glue: what reads the world, asks the core, and acts."""

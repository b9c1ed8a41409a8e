"""The wire of each dialect as msgspec Structs, and nothing else."""

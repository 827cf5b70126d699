"""The program `dshgan`: one file a subcommand, and what they share in `terminal`."""

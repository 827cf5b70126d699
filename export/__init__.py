"""What leaves the workshop: SavedModel, LiteRT file, and search with a trained encoder."""

"""What a browser loads beside the encoders; `dshgan export --format web` copies it."""

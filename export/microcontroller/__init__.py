"""What goes to a microcontroller beside the encoder; `dshgan export --quantize micro` copies it."""

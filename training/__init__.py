"""The training program: presets, runner, evaluation and plots around the library `dshgan_tf`."""

"""`dshgan demo INDEX`: look at an index in the browser; no TensorFlow is started, and no request leaves the machine."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from dshgan_tf.commands import terminal
from dshgan_tf.run import Run


def demo(
    index: Positional[Path],
    *,
    run: Path | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = False,
) -> None:
    """Look at an index in the browser: search by image or by label, see the codes, add images.

    The page is for this machine alone, unless --host says otherwise. It runs until Ctrl-C.

    Args:
        index: Folder of the index.
        run: Folder of the training run, whose curves and tables are shown, too.
        host: Address to listen on. Who reaches it can search the index, and add to it.
        port: Port to listen on; by default the first free one from 7860 on.
        open_browser: Open the page in the browser.
    """
    from dshgan_tf.demo import offline
    from dshgan_tf.demo.actions import Actions
    from dshgan_tf.demo.gradio_import import import_gradio
    from dshgan_tf.demo.ports import free_port

    ended = _asked_to_end()
    with tempfile.TemporaryDirectory(prefix="dshgan_demo_") as cache:
        offline.set_environment(cache)
        actions = Actions(index)
        if run is not None:
            Run(run).require_finished()
        port = free_port(host, port)
        import_gradio()
        from dshgan_tf.demo.page import build, serve

        offline.forbid_connections(host)
        page = build(actions, run)
        url = serve(page, host, port, open_browser)
        terminal.output().print(f"{index}: {actions.summary()}\n{url} (Ctrl-C ends it)", markup=False, soft_wrap=True)
        ended.wait()
        page.close(verbose=False)


def _asked_to_end() -> threading.Event:
    """Return what is set at Ctrl-C, or when the process is asked to end."""
    asked = threading.Event()

    def ask(*_: Any) -> None:
        asked.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, ask)
    return asked


def command(arguments: Sequence[str]) -> None:
    """Run the subcommand."""
    terminal.parse(demo, arguments)

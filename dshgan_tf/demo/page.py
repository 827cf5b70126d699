"""The page: its head, its three tabs, and how it is served."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from dshgan_tf.demo.actions import Actions
from dshgan_tf.demo.image_tab import ImageTab
from dshgan_tf.demo.label_tab import LabelTab
from dshgan_tf.demo.lines import heading
from dshgan_tf.demo.run_tab import RunTab

QUEUE_PAUSE = 0.02  # seconds between looks for work; Gradio's own thousandth takes 5% of a core while nothing happens
MAX_UPLOAD = "20mb"
KEPT = 3600  # seconds that uploads and shown pictures stay on disk
SESSIONS = 100  # browser windows whose state is remembered
LOOPBACK = ("127.0.0.1", "localhost")
FONTS = ["system-ui", "sans-serif"]  # of the browser's own machine; plain names are not fetched
CSS = """
.line { margin: 0; }
.line.hint { opacity: 0.7; font-size: 90%; }
.line.plain::first-letter, .line.done::first-letter { text-transform: uppercase; }
.html-container { padding: 0; }
.line.wrong, .line.done { border-left: 4px solid; padding: 6px 10px; }
.line.wrong { color: #b91c1c; background: #fef2f2; }
.line.done { color: #166534; background: #f0fdf4; }
.block:has(> .html-container > .prose:empty) { display: none; }
#query .icon-button-wrapper { display: none; }
/* Labels stand above pictures, not on them. */
.pictures label.float, .plot label.float { position: static; border: 0; box-shadow: none; background: none; }
/* A gallery is as high as its pictures, and their captions stand below them, whole. */
.pictures .grid-wrap { height: auto; max-height: none; min-height: 0; overflow: visible; }
.pictures .grid-container { grid-template: none / repeat(var(--grid-cols), minmax(0, 1fr)); grid-auto-rows: auto;
                            padding: 0; }
.neighbours .grid-container { grid-template-columns: repeat(auto-fill, minmax(116px, 1fr)); }
.pictures .thumbnail-item { aspect-ratio: auto; height: 100%; display: block; }
.pictures .thumbnail-item img { aspect-ratio: 1; height: auto; }
.pictures .caption-label { position: static; max-width: none; border: 0; background: none; opacity: 1;
                           white-space: pre-line; overflow-wrap: anywhere; text-align: center; }
"""


def build(actions: Actions, run: Path | None = None) -> gr.Blocks:
    """Lay the page out.

    Args:
        actions: of the index.
        run: folder of the training run, for its curves and tables.

    Returns:
        The page, not served yet.
    """
    with gr.Blocks(title=f"{actions.name} - dshgan", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        head = gr.HTML()
        with gr.Tab("Search by image"):
            ImageTab(actions, page, head)
        with gr.Tab("Search by label") as tab:
            LabelTab(actions, tab)
        with gr.Tab("Training run") as tab:
            RunTab(actions, tab, run)
        page.load(lambda: heading(actions.name, actions.summary()), None, head, show_progress="hidden")
    page._queue.sleep_when_free = QUEUE_PAUSE
    return page


def serve(page: gr.Blocks, host: str, port: int, open_browser: bool) -> str:
    """Serve the page in threads of its own.

    Args:
        page: to serve.
        host: address to listen on.
        port: of it, which is free.
        open_browser: show the page in the browser.

    Returns:
        Its URL.
    """
    # Another page that is open in the browser may give a name of its own to this address; such names are refused.
    guard = [Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))] if host in LOOPBACK else []
    _, url, _ = page.launch(
        server_name=f"[{host}]" if ":" in host else host,
        server_port=port,
        share=False,
        inbrowser=open_browser,
        prevent_thread_lock=True,
        quiet=True,
        max_file_size=MAX_UPLOAD,
        allowed_paths=[],
        state_session_capacity=SESSIONS,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        run_history=False,
        footer_links=[],
        app_kwargs={"middleware": guard, "docs_url": None, "redoc_url": None, "openapi_url": None},
        theme=gr.themes.Default(primary_hue="blue", font=FONTS, font_mono=["ui-monospace", "monospace"]),
        css=CSS,
    )
    return url

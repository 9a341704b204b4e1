"""How Sphinx makes the reference: build.py calls it."""
import importlib.util
import runpy
from pathlib import Path

HERE = Path(__file__).resolve().parent


def setup(app):
    app.add_config_value("rf_out", "", "env")
    pages = runpy.run_path(str(Path(app.srcdir).parent / "pages.py"))
    app.config.version = app.config.release = pages["version"]
    app.config.man_pages = pages["man_pages"]


project = "requests-futures for C"
copyright = "the requests-futures-c authors"
extensions = ["myst_parser"]
smartquotes = False
primary_domain = "c"
add_function_parentheses = False
toc_object_entries_show_parents = "hide"
nitpick_ignore = [("c:identifier", name) for name in ("size_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t", "int64_t")]

# What the standard library of C++ has, and parameters of templates.
nitpick_ignore_regex = [("cpp:.*", ".*")]
cpp_index_common_prefix = ["requests_futures::"]

html_theme = "furo" if importlib.util.find_spec("furo") else "alabaster"
html_title = "requests-futures for C"
html_static_path = [str(HERE / "static")]
html_css_files = ["reference.css"]
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None
man_show_urls = False

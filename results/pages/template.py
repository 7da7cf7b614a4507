"""The HTML templates that lie beside this file, filled in."""

from __future__ import annotations

from pathlib import Path


def render_template(name: str, **values: object) -> str:
    """A template with these values; markup in them is escaped, and a value that is missing is an error.

    jinja2 is imported here, as most commands write no page.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)

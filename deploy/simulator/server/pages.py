"""The HTML pages. No I/O."""

from html import escape

from deploy.simulator.model.callbacks import FormReturn

_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>FaceID simulator</title></head>
<body>{body}</body></html>
"""
CLOSED = _FRAME.format(body="<p>The verification has ended. You may close this page.</p>")
NO_SUCH_TOKEN = _FRAME.format(body="<p>This link was used before, or has expired.</p>")


def form_page(form: FormReturn) -> str:
    """A page whose script posts its form at once, as FaceID's page does."""
    inputs = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in form.fields
    )
    return _FRAME.format(
        body=f'<form method="post" action="{escape(form.action)}" enctype="{form.encoding}">{inputs}'
        "<noscript><button>Continue</button></noscript></form><script>document.forms[0].submit()</script>"
    )

"""The filter that shows the value of a read-only field; the theme's template of such fields uses it."""

import json
from datetime import datetime
from typing import Any

from django import template
from django.db.models import JSONField
from django.utils.html import format_html

from core.console.badges import ago, on_off
from core.text import number

register = template.Library()


@register.filter
def plain_value(field: Any) -> Any:
    """Return the value of the theme's read-only field as text. Fields that render themselves keep their rendering."""
    resolved = field.resolved_field
    column, _, value = resolved if resolved else (None, None, None)
    if column is None:
        return field.contents()
    if isinstance(value, datetime):
        return ago(value)
    if isinstance(value, bool):
        return on_off(value, "yes", "no")
    if isinstance(value, float):
        return number(value)
    if isinstance(column, JSONField) and value:
        return format_html('<pre class="sw-json">{}</pre>', json.dumps(value, indent=1, ensure_ascii=False))
    return field.contents()

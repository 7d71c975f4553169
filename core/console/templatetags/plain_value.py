"""A read-only field's value as people would write it, as the theme's template asks for it."""

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
    """field: the theme's read-only field. What has a way of its own to be shown keeps it."""
    found = field.resolved_field
    column, _, value = found if found else (None, None, None)
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
